"""Arithmetic of values, numbers and weights with broadcasting; concatenation; means and maxima."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from onnx import TensorProto

from ulecli.errors import ModelError
from ulecli.perturb.gradient_rules.graph import Backward, Emitted, Graph

Operand = str | float | torch.Tensor
"""A value by its name, a number, or weights: only the first depends on the images."""


def add(graph: Graph, input: Operand, other: Operand) -> Emitted:
    """Sum of two operands."""
    return _binary(graph, "Add", input, other, lambda gradient: gradient, lambda gradient: gradient)


def sub(graph: Graph, input: Operand, other: Operand) -> Emitted:
    """Difference of two operands."""
    return _binary(
        graph, "Sub", input, other, lambda gradient: gradient, lambda gradient: graph.emit("Neg", gradient)
    )


def mul(graph: Graph, input: Operand, other: Operand) -> Emitted:
    """Product of two operands."""
    left, right = _name(graph, input), _name(graph, other)
    return _binary(
        graph,
        "Mul",
        input,
        other,
        lambda gradient: graph.emit("Mul", gradient, right),
        lambda gradient: graph.emit("Mul", gradient, left),
    )


def div(graph: Graph, input: Operand, other: Operand) -> Emitted:
    """Quotient of two operands."""
    left, right = _name(graph, input), _name(graph, other)

    def by_divisor(gradient: str) -> str:
        slope = graph.emit("Div", left, graph.emit("Mul", right, right))
        return graph.emit("Neg", graph.emit("Mul", gradient, slope))

    return _binary(
        graph, "Div", input, other, lambda gradient: graph.emit("Div", gradient, right), by_divisor
    )


def neg(graph: Graph, value: str) -> Emitted:
    """The value with the other sign."""
    return graph.emit("Neg", value), [(value, lambda gradient: graph.emit("Neg", gradient))]


def cat(graph: Graph, tensors: Sequence[str], dim: int = 0) -> Emitted:
    """Values side by side along an axis whose sizes don't follow from that of the images."""

    def part(number: int) -> Backward:
        def back(gradient: str) -> str:
            sizes = [graph.shape(value)[dim] for value in tensors]
            known = [size for size in sizes if size is not None]
            if len(known) < len(sizes):
                raise ModelError("it concatenates along an axis whose size follows from that of the images")
            start = sum(known[:number])
            bounds = graph.integers(start), graph.integers(start + known[number])
            return graph.emit("Slice", gradient, *bounds, graph.integers(dim))

        return back

    output = graph.emit("Concat", *tensors, axis=dim)
    return output, [(value, part(number)) for number, value in enumerate(tensors)]


def mean(graph: Graph, value: str, dim: int | Sequence[int], keepdim: bool = False) -> Emitted:
    """Mean over axes."""
    axes = graph.integers(*([dim] if isinstance(dim, int) else dim))
    output = graph.emit("ReduceMean", value, axes, keepdims=int(keepdim))

    def back(gradient: str) -> str:
        shape = graph.emit("Shape", value)
        count = graph.emit("ReduceProd", graph.emit("Gather", shape, axes), keepdims=0)
        share = graph.emit("Div", gradient, graph.emit("Cast", count, to=TensorProto.FLOAT))
        return graph.emit("Expand", share if keepdim else graph.emit("Unsqueeze", share, axes), shape)

    return output, [(value, back)]


def amax(graph: Graph, value: str, dim: int | Sequence[int], keepdim: bool = False) -> Emitted:
    """Maximum over axes."""
    axes = graph.integers(*([dim] if isinstance(dim, int) else dim))
    output = graph.emit("ReduceMax", value, axes, keepdims=int(keepdim))

    def back(gradient: str) -> str:
        top = output if keepdim else graph.emit("Unsqueeze", output, axes)
        mask = graph.emit("Cast", graph.emit("Equal", value, top), to=TensorProto.FLOAT)
        # Ties, frequent where a ReLU left only zeros, share the gradient, as torch's amax has it.
        wide = gradient if keepdim else graph.emit("Unsqueeze", gradient, axes)
        shared = graph.emit("Div", wide, graph.emit("ReduceSum", mask, axes, keepdims=1))
        return graph.emit("Mul", mask, shared)

    return output, [(value, back)]


def _binary(
    graph: Graph, operator: str, first: Operand, second: Operand, by_first: Backward, by_second: Backward
) -> Emitted:
    output = graph.emit(operator, _name(graph, first), _name(graph, second))

    def summed(value: str, back: Backward) -> Backward:
        return lambda gradient: _unbroadcast(graph, back(gradient), value, output)

    pairs = ((first, by_first), (second, by_second))
    return output, [(value, summed(value, back)) for value, back in pairs if isinstance(value, str)]


def _name(graph: Graph, operand: Operand) -> str:
    return operand if isinstance(operand, str) else graph.constant(operand)


def _unbroadcast(graph: Graph, gradient: str, value: str, output: str) -> str:
    """Emit the sum over the axes along which a value was repeated."""
    before, after = graph.shape(value), graph.shape(output)
    if len(before) != len(after):
        raise ModelError("it broadcasts between values of different numbers of axes")
    axes = [axis for axis, size in enumerate(before) if size == 1 and after[axis] != 1]
    return graph.emit("ReduceSum", gradient, graph.integers(*axes)) if axes else gradient
