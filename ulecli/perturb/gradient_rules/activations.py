"""Activations: element by element, each with its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable

from ulecli.perturb.gradient_rules.graph import Emitted, Graph

_STEEP = {"alpha": 1e30, "beta": 0.0}
"""Makes a hard sigmoid a step: 0 up to 0 and 1 above, in one vectorised node that fuses."""


def relu(graph: Graph, value: str, inplace: bool = False) -> Emitted:
    """Maximum of the value and 0."""
    output = graph.emit("Relu", value)
    return _chained(graph, value, output, lambda: graph.emit("HardSigmoid", output, **_STEEP))


def hardtanh(
    graph: Graph, value: str, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Emitted:
    """Clip to a range."""
    low, high = graph.constant(min_val), graph.constant(max_val)
    output = graph.emit("Clip", value, low, high)
    return _chained(graph, value, output, lambda: _between(graph, output, low, high))


def relu6(graph: Graph, value: str, inplace: bool = False) -> Emitted:
    """Clip to 0 to 6."""
    return hardtanh(graph, value, 0.0, 6.0)


def leaky_relu(graph: Graph, value: str, negative_slope: float = 0.01, inplace: bool = False) -> Emitted:
    """Multiply what is below 0 by a slope."""
    output = graph.emit("LeakyRelu", value, alpha=negative_slope)
    zero, one, slope = graph.constant(0), graph.constant(1), graph.constant(negative_slope)
    return _chained(
        graph, value, output, lambda: graph.emit("Where", graph.emit("Greater", value, zero), one, slope)
    )


def elu(graph: Graph, value: str, alpha: float = 1.0, inplace: bool = False) -> Emitted:
    """Replace what is below 0 by ``alpha * (exp(x) - 1)``."""
    output = graph.emit("Elu", value, alpha=alpha)
    zero, one = graph.constant(0), graph.constant(1)

    def derivative() -> str:
        below = graph.emit("Add", output, graph.constant(alpha))
        return graph.emit("Where", graph.emit("Greater", value, zero), one, below)

    return _chained(graph, value, output, derivative)


def tanh(graph: Graph, value: str) -> Emitted:
    """Hyperbolic tangent."""
    output = graph.emit("Tanh", value)
    return _chained(
        graph, value, output, lambda: graph.emit("Sub", graph.constant(1), graph.emit("Mul", output, output))
    )


def sigmoid(graph: Graph, value: str) -> Emitted:
    """Logistic function."""
    output = graph.emit("Sigmoid", value)
    return _chained(
        graph,
        value,
        output,
        lambda: graph.emit("Mul", output, graph.emit("Sub", graph.constant(1), output)),
    )


def silu(graph: Graph, value: str, inplace: bool = False) -> Emitted:
    """The value times its logistic function."""
    chance = graph.emit("Sigmoid", value)
    output = graph.emit("Mul", value, chance)

    def derivative() -> str:
        rest = graph.emit("Mul", output, graph.emit("Sub", graph.constant(1), chance))
        return graph.emit("Add", chance, rest)

    return _chained(graph, value, output, derivative)


def hardsigmoid(graph: Graph, value: str, inplace: bool = False) -> Emitted:
    """Clip ``x / 6 + 1 / 2`` to 0 to 1."""
    output = graph.emit("HardSigmoid", value, alpha=1 / 6, beta=0.5)

    def derivative() -> str:
        inside = _between(graph, output, graph.constant(0), graph.constant(1))
        return graph.emit("Mul", inside, graph.constant(1 / 6))

    return _chained(graph, value, output, derivative)


def hardswish(graph: Graph, value: str, inplace: bool = False) -> Emitted:
    """The value times its hard sigmoid."""
    gate = graph.emit("HardSigmoid", value, alpha=1 / 6, beta=0.5)
    output = graph.emit("Mul", value, gate)

    def derivative() -> str:
        inside = _between(graph, gate, graph.constant(0), graph.constant(1))
        slope = graph.emit("Mul", graph.emit("Mul", value, graph.constant(1 / 6)), inside)
        return graph.emit("Add", gate, slope)

    return _chained(graph, value, output, derivative)


def gelu(graph: Graph, value: str, approximate: str = "none") -> Emitted:
    """The value times the normal distribution at it, exact or by tanh."""
    output = graph.emit("Gelu", value, approximate=approximate)

    def exact() -> str:
        error = graph.emit("Erf", graph.emit("Mul", value, graph.constant(math.sqrt(0.5))))
        share = _scaled(graph, graph.emit("Add", error, graph.constant(1)), 0.5)
        square = graph.emit("Mul", value, value)
        density = _scaled(graph, graph.emit("Exp", _scaled(graph, square, -0.5)), 1 / math.sqrt(2 * math.pi))
        return graph.emit("Add", share, graph.emit("Mul", value, density))

    def by_tanh() -> str:
        slope, cubic = math.sqrt(2 / math.pi), 0.044715
        square = graph.emit("Mul", value, value)
        one = graph.constant(1)
        inner = _scaled(graph, graph.emit("Add", one, _scaled(graph, square, cubic)), slope)
        bend = graph.emit("Tanh", graph.emit("Mul", value, inner))
        share = _scaled(graph, graph.emit("Add", bend, one), 0.5)
        steepness = _scaled(graph, graph.emit("Add", one, _scaled(graph, square, 3 * cubic)), 0.5 * slope)
        slant = graph.emit("Mul", steepness, graph.emit("Sub", one, graph.emit("Mul", bend, bend)))
        return graph.emit("Add", share, graph.emit("Mul", value, slant))

    return _chained(graph, value, output, exact if approximate == "none" else by_tanh)


def _chained(graph: Graph, value: str, output: str, derivative: Callable[[], str]) -> Emitted:
    return output, [(value, lambda gradient: graph.emit("Mul", gradient, derivative()))]


def _scaled(graph: Graph, value: str, factor: float) -> str:
    return graph.emit("Mul", value, graph.constant(factor))


def _between(graph: Graph, clipped: str, low: str, high: str) -> str:
    """Emit 1 where a clipped value lies strictly inside its range, else 0; as torch's derivatives have it."""
    product = graph.emit("Mul", graph.emit("Sub", clipped, low), graph.emit("Sub", high, clipped))
    return graph.emit("HardSigmoid", product, **_STEEP)
