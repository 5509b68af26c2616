"""Convolutions, linear layers and batch norm.

A convolution runs backwards as a convolution with transposed and flipped weights, which onnxruntime runs
faster than ConvTranspose wherever there are channels enough to fill its vectors. Transposing and flipping
happen in the graph, where they are folded at load, so the file holds weights once.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ulecli.errors import ModelError
from ulecli.perturb.gradient_rules.graph import Emitted, Graph
from ulecli.perturb.gradient_rules.pooling import Pair, pair

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
    kernel, strides, dilations = pair(weight.shape[2:]), pair(stride), pair(dilation)
    reach = [step * (side - 1) for step, side in zip(dilations, kernel, strict=True)]
    if padding == "same":
        before = [side // 2 for side in reach]
        after = [side - half for side, half in zip(reach, before, strict=True)]
    else:
        before = after = list(pair(0 if isinstance(padding, str) else padding))
    weights = graph.constant(weight)
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
        small = weight.shape[1] < _CHANNELS_OF_A_VECTOR and groups == 1
        if strides == (1, 1) and min(far) >= 0 and not small:
            near = [side - pad for side, pad in zip(reach, after, strict=True)]
            turned = _flipped(graph, _transposed(graph, weights, tuple(weight.shape), groups))
            pads = [*far, *near]
            return graph.emit(
                "Conv", gradient, turned, kernel_shape=kernel, pads=pads, dilations=dilations, group=groups
            )
        exact = strides == (1, 1)
        spread = graph.emit(
            "ConvTranspose",
            gradient,
            weights,
            kernel_shape=kernel,
            strides=strides,
            pads=[*before, *(after if exact else (0, 0))],
            dilations=dilations,
            group=groups,
            output_padding=[step - 1 for step in strides],
        )
        return spread if exact else graph.cut_to(spread, value)

    return output, [(value, back)]


def _transposed(graph: Graph, weights: str, shape: tuple[int, ...], groups: int) -> str:
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
    """Weighted sums over the last axis of (N, features)."""
    weights = graph.constant(weight)
    inputs = [value, weights] if bias is None else [value, weights, graph.constant(bias)]
    return graph.emit("Gemm", *inputs, transB=1), [
        (value, lambda gradient: graph.emit("MatMul", gradient, weights))
    ]


def batch_norm(graph: Graph, value: str, norm: BatchNorm) -> Emitted:
    """Scale and shift of every channel by the running statistics; for batch norm behind no convolution."""
    weight = torch.ones(norm.num_features, 1, 1, 1)
    scale, shift = folded(weight, None, norm)
    sides = (1, 1) if isinstance(norm, nn.BatchNorm2d) else ()
    scales, shifts = (graph.constant(numbers.reshape(-1, *sides)) for numbers in (scale, shift))
    output = graph.emit("Add", graph.emit("Mul", value, scales), shifts)
    return output, [(value, lambda gradient: graph.emit("Mul", gradient, scales))]


def folded(
    weight: torch.Tensor, bias: torch.Tensor | None, norm: BatchNorm
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights and bias of one convolution that does what a convolution and the batch norm behind it do."""
    assert norm.running_mean is not None and norm.running_var is not None
    return fuse_conv_bn_weights(
        weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
