"""Convolutions, linear layers and batch norm.

A convolution runs backwards as a convolution with transposed and flipped weights, which onnxruntime runs
faster than ConvTranspose wherever there are channels enough to fill its vectors. Transposing and flipping
happen in the graph, where they are folded at load, so the file holds weights once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ulecli.errors import ModelError
from ulecli.perturb.gradient_rules.graph import Emitted, Graph, Pair, pair

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d

_CHANNELS_OF_A_VECTOR = 8
"""Channels that onnxruntime's convolution computes at a time, on the narrowest processors it knows."""


def conv2d(
    graph: Graph,
    value: str,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Emitted:
    """Convolution, with strides, padding, dilation and groups."""
    weights = _stored(graph, weight)
    kernel, strides, dilations = pair(weight.shape[2:]), pair(stride), pair(dilation)
    reach = [step * (side - 1) for step, side in zip(dilations, kernel, strict=True)]
    if padding == "same":
        before = [side // 2 for side in reach]
        after = [side - half for side, half in zip(reach, before, strict=True)]
    else:
        before = after = list(pair(0 if isinstance(padding, str) else padding))
    inputs = [value, weights] if bias is None else [value, weights, graph.constant(bias)]
    output = graph.emit(
        "Conv",
        *inputs,
        kernel_shape=kernel,
        strides=strides,
        pads=[*before, *after],
        dilations=dilations,
        group=groups,
    )

    def back(gradient: str) -> str:
        far = [side - pad for side, pad in zip(reach, before, strict=True)]
        near = [side - pad for side, pad in zip(reach, after, strict=True)]
        shared = {"kernel_shape": kernel, "dilations": dilations, "group": groups}
        vectorised = groups > 1 or weight.shape[1] >= _CHANNELS_OF_A_VECTOR
        if strides == (1, 1) and min(*far, *near) >= 0 and vectorised:
            turned = _flipped(graph, _transposed(graph, weights, weight.shape, groups))
            return graph.emit("Conv", gradient, turned, pads=[*far, *near], **shared)
        if strides == (1, 1):
            return graph.emit("ConvTranspose", gradient, weights, pads=[*before, *after], **shared)
        # Several sizes of the input give one size of the output: take the largest, and of it what is needed.
        spread = graph.emit(
            "ConvTranspose",
            gradient,
            weights,
            strides=strides,
            pads=[*before, 0, 0],
            output_padding=[step - 1 for step in strides],
            **shared,
        )
        return graph.cut_to(spread, value)

    return output, [(value, back)]


def _transposed(graph: Graph, weights: str, shape: Sequence[int], groups: int) -> str:
    """Emit weights with the channels that go in and out exchanged, group by group."""
    outputs, inputs, *kernel = shape
    if groups == 1:
        return graph.emit("Transpose", weights, perm=[1, 0, 2, 3])
    if inputs == 1 and outputs == groups:
        return weights
    grouped = graph.emit("Reshape", weights, graph.integers(groups, outputs // groups, inputs, *kernel))
    exchanged = graph.emit("Transpose", grouped, perm=[0, 2, 1, 3, 4])
    return graph.emit("Reshape", exchanged, graph.integers(groups * inputs, outputs // groups, *kernel))


def _flipped(graph: Graph, weights: str) -> str:
    backwards, far = graph.integers(-1, -1), graph.integers(-(2**31), -(2**31))
    return graph.emit("Slice", weights, backwards, far, graph.integers(2, 3), backwards)


def linear(graph: Graph, value: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Emitted:
    """Weighted sums of (N, features)."""
    weights = _stored(graph, weight)
    inputs = [value, weights] if bias is None else [value, weights, graph.constant(bias)]

    def back(gradient: str) -> str:
        if len(graph.shape(value)) != 2:
            raise ModelError("a linear layer has a rule for (N, features) alone")
        return graph.emit("MatMul", gradient, weights)

    return graph.emit("Gemm", *inputs, transB=1), [(value, back)]


def batch_norm(graph: Graph, value: str, norm: BatchNorm) -> Emitted:
    """Scale and shift of every channel by the running statistics; for batch norm behind no convolution."""
    scale, shift = folded(torch.ones(norm.num_features, 1, 1, 1), None, norm)
    sides = (1, 1) if isinstance(norm, nn.BatchNorm2d) else ()
    scales, shifts = (graph.constant(numbers.reshape(-1, *sides)) for numbers in (scale, shift))

    def back(gradient: str) -> str:
        if len(graph.shape(value)) != 2 + len(sides):
            raise ModelError("batch norm has a rule for (N, C) and (N, C, H, W) alone")
        return graph.emit("Mul", gradient, scales)

    return graph.emit("Add", graph.emit("Mul", value, scales), shifts), [(value, back)]


def _stored(graph: Graph, weight: torch.Tensor) -> str:
    if not isinstance(weight, torch.Tensor):
        raise ModelError("weights that depend on the images have no rule")
    return graph.constant(weight)


def folded(
    weight: torch.Tensor, bias: torch.Tensor | None, norm: BatchNorm
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights and bias of a convolution that does the batch norm behind it as well."""
    assert norm.running_mean is not None and norm.running_var is not None
    return fuse_conv_bn_weights(
        weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
