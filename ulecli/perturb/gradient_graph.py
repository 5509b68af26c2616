"""The gradient graph: loss and input gradient of a surrogate, written out as forward ONNX operators.

onnxruntime cannot differentiate, so the backward pass of every layer is emitted as ordinary nodes behind the
forward pass. Each layer has one rule here: it emits its forward nodes and returns what emits its backward.
Convolutions run backwards as convolutions with transposed and flipped weights, which onnxruntime runs faster
than ConvTranspose wherever there are channels enough to fill its vectors; the flip happens in the graph,
where it is folded at load, so the file holds weights once.

Inputs: `images` float32 (N, C, H, W), unit scale; `labels` int64 (N,).
Outputs: `loss` float32 (N,), the cross-entropy; `gradient` float32 (N, C, H, W), of the summed loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ulecli.errors import ModelError
from ulecli.nets.layers import DEVIATION, MEAN, GlobalMax, Standardise

OPSET, IR_VERSION = 20, 10

_CHANNELS_OF_A_VECTOR = 8
"""Channels that onnxruntime's convolution computes at a time, on the narrowest processors it knows."""

Backward = Callable[[str], str]
"""Emits the nodes that carry a gradient, given by its name, one layer back; returns the new name."""


class _Graph:
    """The nodes and constants emitted so far; values go by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def emit(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name


def gradient_graph(net: nn.Sequential, channels: int) -> bytes:
    """Write the gradient graph of a trained net.

    Args:
        net: In evaluation mode; made of the layers that `ulecli.nets` uses.
        channels: 1 for luma, 3 for RGB.

    Returns:
        The serialised ONNX model, which holds its weights.

    Raises:
        ModelError: the net has a layer that has no rule here.
    """
    graph = _Graph()
    value, backward = "images", list[Backward]()
    for layer in _folded(net):
        rule = _RULES.get(type(layer))
        if rule is None:
            raise ModelError(f"the gradient graph has no rule for the layer {type(layer).__name__}")
        value, back = rule(graph, layer, value)
        backward.append(back)
    gradient = _cross_entropy(graph, value)
    for back in reversed(backward):
        gradient = back(gradient)
    graph.nodes.append(helper.make_node("Identity", [gradient], ["gradient"]))
    return _model(graph, channels)


def _folded(net: nn.Sequential) -> Iterable[nn.Module]:
    """Yield the layers with every batch norm folded into the convolution before it."""
    layers = list(net)
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            yield fuse_conv_bn_eval(layer, following)
        elif not isinstance(layer, nn.BatchNorm2d):
            yield layer


def _cross_entropy(graph: _Graph, logits: str) -> str:
    """Emit the loss and return the gradient of its sum by the logits.

    The textbook form softmax - onehot cancels once the net is sure; ``q - onehot * sum(q)`` with
    ``q = softmax * (1 - onehot)`` is the same without the cancellation, so signs stay right to the last step.
    """
    classes = graph.emit("Gather", graph.emit("Shape", logits), graph.constant(1, np.int64))
    onehot = graph.emit("OneHot", "labels", classes, graph.constant([0, 1]), axis=-1)
    log_chance = graph.emit("LogSoftmax", logits, axis=-1)
    axis = graph.constant([1], np.int64)
    chosen = graph.emit("ReduceSum", graph.emit("Mul", onehot, log_chance), axis, keepdims=0)
    graph.nodes.append(helper.make_node("Neg", [chosen], ["loss"]))
    others = graph.emit("Mul", graph.emit("Exp", log_chance), graph.emit("Sub", graph.constant(1), onehot))
    return graph.emit("Sub", others, graph.emit("Mul", onehot, graph.emit("ReduceSum", others, axis)))


def _standardise(graph: _Graph, _: nn.Module, value: str) -> tuple[str, Backward]:
    deviation = graph.constant(DEVIATION)
    output = graph.emit("Div", graph.emit("Sub", value, graph.constant(MEAN)), deviation)
    return output, lambda gradient: graph.emit("Div", gradient, deviation)


def _convolution(graph: _Graph, layer: nn.Module, value: str) -> tuple[str, Backward]:
    assert isinstance(layer, nn.Conv2d)
    if layer.stride != (1, 1) or layer.padding != (1, 1) or layer.kernel_size != (3, 3):
        raise ModelError("the gradient graph takes only 3x3 convolutions with stride 1 and padding 1")
    weights = graph.constant(_numbers(layer.weight))
    inputs = [value, weights] + ([] if layer.bias is None else [graph.constant(_numbers(layer.bias))])
    geometry = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}

    def back(gradient: str) -> str:
        if layer.in_channels < _CHANNELS_OF_A_VECTOR:
            return graph.emit("ConvTranspose", gradient, weights, **geometry)
        minus_one = graph.constant([-1, -1], np.int64)
        far = graph.constant([-4, -4], np.int64)
        swapped = graph.emit("Transpose", weights, perm=[1, 0, 2, 3])
        spatial = graph.constant([2, 3], np.int64)
        turned = graph.emit("Slice", swapped, minus_one, far, spatial, minus_one)
        return graph.emit("Conv", gradient, turned, **geometry)

    return graph.emit("Conv", *inputs, **geometry), back


def _relu(graph: _Graph, _: nn.Module, value: str) -> tuple[str, Backward]:
    output = graph.emit("Relu", value)
    # A steep hard sigmoid is 0 at 0 and 1 above: a step in one fused, vectorised node.
    return output, lambda gradient: graph.emit(
        "Mul", gradient, graph.emit("HardSigmoid", output, alpha=1e30, beta=0.0)
    )


def _max_pool(graph: _Graph, layer: nn.Module, value: str) -> tuple[str, Backward]:
    assert isinstance(layer, nn.MaxPool2d)
    if layer.kernel_size != 2 or layer.stride != 2 or layer.padding != 0:
        raise ModelError("the gradient graph takes only 2x2 max pooling")
    output = graph.emit("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])

    def back(gradient: str) -> str:
        winners = graph.emit("Equal", value, _doubled(graph, output))
        mask = graph.emit("Cast", winners, to=TensorProto.FLOAT)
        # Ties, all there is where a picture is flat, share the gradient; torch gives it to the first of them.
        share = graph.emit("AveragePool", mask, kernel_shape=[2, 2], strides=[2, 2])
        shared = graph.emit("Div", gradient, graph.emit("Mul", share, graph.constant(4)))
        return graph.emit("Mul", mask, _doubled(graph, shared))

    return output, back


def _doubled(graph: _Graph, value: str) -> str:
    scales = graph.constant([1, 1, 2, 2])
    return graph.emit(
        "Resize",
        value,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _global_max(graph: _Graph, _: nn.Module, value: str) -> tuple[str, Backward]:
    axes = graph.constant([2, 3], np.int64)
    output = graph.emit("ReduceMax", value, axes, keepdims=0)

    def back(gradient: str) -> str:
        winners = graph.emit("Equal", value, graph.emit("Unsqueeze", output, axes))
        mask = graph.emit("Cast", winners, to=TensorProto.FLOAT)
        # Ties, frequent where a ReLU left only zeros, share the gradient, as torch's amax has it.
        shared = graph.emit("Div", gradient, graph.emit("ReduceSum", mask, axes, keepdims=0))
        return graph.emit("Mul", mask, graph.emit("Unsqueeze", shared, axes))

    return output, back


def _flatten(graph: _Graph, _: nn.Module, value: str) -> tuple[str, Backward]:
    shape = graph.emit("Shape", value)
    return graph.emit("Flatten", value), lambda gradient: graph.emit("Reshape", gradient, shape)


def _linear(graph: _Graph, layer: nn.Module, value: str) -> tuple[str, Backward]:
    assert isinstance(layer, nn.Linear)
    weights = graph.constant(_numbers(layer.weight))
    output = graph.emit("Gemm", value, weights, graph.constant(_numbers(layer.bias)), transB=1)
    return output, lambda gradient: graph.emit("MatMul", gradient, weights)


def _numbers(values: torch.Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().numpy().astype(np.float32)


_RULES: dict[type[nn.Module], Callable[[_Graph, nn.Module, str], tuple[str, Backward]]] = {
    Standardise: _standardise,
    nn.Conv2d: _convolution,
    nn.ReLU: _relu,
    nn.MaxPool2d: _max_pool,
    GlobalMax: _global_max,
    nn.Flatten: _flatten,
    nn.Linear: _linear,
}


def _model(graph: _Graph, channels: int) -> bytes:
    pictures: list[str | int | None] = ["N", channels, "H", "W"]
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, pictures),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"]),
    ]
    outputs = [
        helper.make_tensor_value_info("loss", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("gradient", TensorProto.FLOAT, pictures),
    ]
    body = helper.make_graph(graph.nodes, "gradient", inputs, outputs, graph.constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION, producer_name="ulecli")
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
