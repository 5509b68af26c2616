"""Pooling over windows: maxima and averages."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ulecli.errors import ModelError
from ulecli.perturb.gradient_rules.arithmetic import amax, mean
from ulecli.perturb.gradient_rules.graph import Emitted, Graph, Pair, pair


def max_pool2d(
    graph: Graph,
    value: str,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Emitted:
    """Maximum of each window."""
    if ceil_mode or return_indices:
        raise ModelError("max pooling with ceil_mode or return_indices has no rule")
    kernel = pair(kernel_size)
    strides = pair(stride or kernel)
    geometry = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pair(padding) * 2,
        "dilations": pair(dilation),
    }
    if kernel == strides and pair(padding) == (0, 0) and pair(dilation) == (1, 1):
        output = graph.emit("MaxPool", value, **geometry)
        return output, [(value, lambda gradient: _to_all_winners(graph, value, output, gradient, kernel))]
    output, winners = graph.emit_many("MaxPool", 2, value, **geometry)
    return output, [(value, lambda gradient: _to_first_winner(graph, value, winners, gradient))]


def _to_all_winners(graph: Graph, value: str, output: str, gradient: str, kernel: tuple[int, int]) -> str:
    """Propagate a gradient back through windows that don't overlap."""
    tops = _repeated(graph, output, kernel)
    mask = graph.emit("Cast", graph.emit("Equal", graph.cut_to(value, tops), tops), to=TensorProto.FLOAT)
    # Ties, all there is where a picture is flat, share the gradient; torch gives it to the first of them.
    share = graph.emit("AveragePool", mask, kernel_shape=kernel, strides=kernel)
    shared = graph.emit("Div", gradient, graph.emit("Mul", share, graph.constant(np.prod(kernel))))
    return _zeros_around(graph, graph.emit("Mul", mask, _repeated(graph, shared, kernel)), value)


def _to_first_winner(graph: Graph, value: str, winners: str, gradient: str) -> str:
    """Propagate a gradient through windows that may overlap, where a cell can be the maximum of several."""
    shape, flat = graph.emit("Shape", value), graph.integers(-1)
    count = graph.emit("ReduceProd", shape, keepdims=1)
    zeros = graph.emit("Expand", graph.constant(0), count)
    indices, updates = graph.emit("Reshape", winners, flat), graph.emit("Reshape", gradient, flat)
    added = graph.emit("ScatterElements", zeros, indices, updates, axis=0, reduction="add")
    return graph.emit("Reshape", added, shape)


def avg_pool2d(
    graph: Graph,
    value: str,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Emitted:
    """Mean of each window."""
    if ceil_mode or divisor_override:
        raise ModelError("average pooling with ceil_mode or divisor_override has no rule")
    kernel = pair(kernel_size)
    strides, around = pair(stride or kernel), pair(padding)
    geometry = {"kernel_shape": kernel, "strides": strides, "pads": around * 2}
    output = graph.emit("AveragePool", value, **geometry, count_include_pad=int(count_include_pad))

    def back(gradient: str) -> str:
        if around != (0, 0) and not count_include_pad:
            ones = graph.emit("Expand", graph.constant(1), graph.emit("Shape", value))
            gradient = graph.emit(
                "Div", gradient, graph.emit("AveragePool", ones, **geometry, count_include_pad=1)
            )
        share = graph.emit("Mul", gradient, graph.constant(1 / np.prod(kernel)))
        if kernel == strides and around == (0, 0):
            return _zeros_around(graph, _repeated(graph, share, kernel), value)
        # Each channel of each image on its own, so that one small kernel of ones does for all.
        height_width = graph.sizes(gradient, 2, 4)
        planes = graph.emit("Concat", graph.integers(-1, 1), height_width, axis=0)
        spread = graph.emit(
            "ConvTranspose",
            graph.emit("Reshape", share, planes),
            graph.constant(np.ones((1, 1, *kernel))),
            strides=strides,
            pads=(*around, 0, 0),
            output_padding=[step - 1 for step in strides],
        )
        cut = graph.cut_to(spread, value)
        return graph.emit("Reshape", cut, graph.emit("Shape", value))

    return output, [(value, back)]


def adaptive_avg_pool2d(graph: Graph, value: str, output_size: Pair) -> Emitted:
    """Mean of each cell of a grid of fixed size that covers the value."""
    if None in pair(output_size):
        raise ModelError("adaptive pooling that keeps a size has no rule")
    if pair(output_size) == (1, 1):
        return mean(graph, value, (2, 3), keepdim=True)
    rows, columns = (_bins(graph, value, axis + 2, bins) for axis, bins in enumerate(pair(output_size)))

    def back(gradient: str) -> str:
        upright = graph.emit("MatMul", graph.emit("Transpose", rows, perm=[1, 0]), gradient)
        return graph.emit("MatMul", upright, columns)

    across = graph.emit("Transpose", columns, perm=[1, 0])
    return graph.emit("MatMul", graph.emit("MatMul", rows, value), across), [(value, back)]


def adaptive_max_pool2d(graph: Graph, value: str, output_size: Pair, return_indices: bool = False) -> Emitted:
    """Maximum over all positions."""
    if pair(output_size) != (1, 1) or return_indices:
        raise ModelError("adaptive max pooling to more than one position has no rule")
    return amax(graph, value, (2, 3), keepdim=True)


def _bins(graph: Graph, value: str, axis: int, bins: int) -> str:
    """Emit the matrix (bins, size) that averages along an axis: bin n from n s/b down to (n + 1) s/b up."""
    zero, one, count = (graph.constant(number, np.int64) for number in (0, 1, bins))
    size = graph.emit("Squeeze", graph.sizes(value, axis, axis + 1))
    cells = graph.emit("Range", zero, size, one)
    numbers = graph.constant(np.arange(bins)[:, None], np.int64)
    start = graph.emit("Div", graph.emit("Mul", numbers, size), count)
    following = graph.emit("Mul", graph.emit("Add", numbers, one), size)
    rounded_up = graph.emit("Add", following, graph.constant(bins - 1, np.int64))
    end = graph.emit("Div", rounded_up, count)
    inside = graph.emit("And", graph.emit("GreaterOrEqual", cells, start), graph.emit("Less", cells, end))
    widths = graph.emit("Cast", graph.emit("Sub", end, start), to=TensorProto.FLOAT)
    return graph.emit("Div", graph.emit("Cast", inside, to=TensorProto.FLOAT), widths)


def _repeated(graph: Graph, value: str, times: tuple[int, int]) -> str:
    """Emit (N, C, H, W) with every row and every column repeated."""
    return graph.emit(
        "Resize",
        value,
        "",
        graph.constant([1, 1, *times]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _zeros_around(graph: Graph, gradient: str, value: str) -> str:
    """Emit a gradient with zeros for the last rows and columns, which no window reached."""
    missing = graph.emit("Sub", graph.sizes(value, 2, 4), graph.sizes(gradient, 2, 4))
    pads = graph.emit("Concat", graph.integers(0, 0, 0, 0, 0, 0), missing, axis=0)
    return graph.emit("Pad", gradient, pads)
