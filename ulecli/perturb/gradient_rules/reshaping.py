"""Operations that only move numbers, or do nothing in evaluation mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulecli.errors import ModelError
from ulecli.perturb.gradient_rules.graph import Emitted, Graph


@dataclass(frozen=True)
class Size:
    """A size of a value that is known when the graph runs.

    Attributes:
        name: Of the list that holds this one integer.
    """

    name: str


class Sizes:
    """The sizes of a value, as `x.shape` and `x.size()` return them; indexing emits the nodes."""

    def __init__(self, graph: Graph, value: str) -> None:
        self._graph, self._value = graph, value

    def __getitem__(self, axis: int) -> Size:
        if axis < 0:
            raise ModelError("sizes are known by axes counted from the first alone")
        return Size(self._graph.sizes(self._value, axis, axis + 1))


def size(graph: Graph, value: str, dim: int | None = None) -> Size | Sizes:
    """The size along an axis, or all sizes."""
    sizes = Sizes(graph, value)
    return sizes if dim is None else sizes[dim]


def attribute(graph: Graph, value: str, name: str) -> Sizes:
    """The attribute `shape`."""
    if name != "shape":
        raise ModelError(f"'{name}' has no rule")
    return Sizes(graph, value)


def identity(graph: Graph, value: str, *_: object) -> Emitted:
    """The value itself."""
    return value, []


def dropout(
    graph: Graph, value: str, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Emitted:
    """Nothing, as the net is in evaluation mode."""
    if training:
        raise ModelError("dropout in training mode has no rule")
    return value, []


def stochastic_depth(graph: Graph, value: str, p: float, mode: str, training: bool = True) -> Emitted:
    """Nothing, as the net is in evaluation mode."""
    return dropout(graph, value, p, training)


def flatten(graph: Graph, value: str, start_dim: int = 0, end_dim: int = -1) -> Emitted:
    """Everything behind the first axis in one axis."""
    if (start_dim, end_dim) != (1, -1):
        raise ModelError("flattening to anything but (N, features) has no rule")
    return _reshaped(graph, value, graph.emit("Flatten", value))


def view(graph: Graph, value: str, *shape: int | Size | Sequence[int | Size]) -> Emitted:
    """The same numbers in another shape."""
    sizes: list[int | Size] = []
    for part in shape:  # given one by one or as a sequence
        sizes += [part] if isinstance(part, int | Size) else part
    lists = [size.name if isinstance(size, Size) else graph.integers(size) for size in sizes]
    return _reshaped(graph, value, graph.emit("Reshape", value, graph.emit("Concat", *lists, axis=0)))


def _reshaped(graph: Graph, value: str, output: str) -> Emitted:
    return output, [(value, lambda gradient: graph.emit("Reshape", gradient, graph.emit("Shape", value)))]


def pad(
    graph: Graph, inner: str, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Emitted:
    """Constants around (N, C, H, W); torch's order of `pad` is left, right, top, bottom."""
    if mode != "constant" or len(pad) != 4 or min(pad) < 0:
        raise ModelError("padding has a rule for constants around height and width alone")
    left, right, top, bottom = pad
    sizes = graph.integers(0, 0, top, left, 0, 0, bottom, right)
    output = graph.emit("Pad", inner, sizes, graph.constant(value or 0))

    def back(gradient: str) -> str:
        start = graph.integers(top, left)
        end = graph.emit("Add", graph.sizes(inner, 2, 4), start)
        return graph.emit("Slice", gradient, start, end, graph.integers(2, 3))

    return output, [(inner, back)]
