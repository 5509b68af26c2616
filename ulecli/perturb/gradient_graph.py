"""The gradient graph: loss and input gradient of a net, written out as forward ONNX operators.

onnxruntime cannot differentiate, so the backward pass is emitted as ordinary nodes behind the forward pass.
The net is traced by `torch.fx` down to torch's functions, each of which has one rule in
`ulecli.perturb.gradient_rules`. Two other ways were measured, the first by `benchmarks/gradient_graph.py`.
The graph that torch exports of its own backward pass is 1.2 to 2.7 times slower, takes a minute and more to
write and is bound to one size of images; that of onnxruntime-training has operators that onnxruntime lacks.

Inputs: `images` float32 (N, C, H, W), unit scale; `labels` int64 (N,).
Outputs: `loss` float32 (N,), the cross-entropy; `gradient` float32 (N, C, H, W), of the summed loss.

A graph of a feature, the output of a layer in the middle, has the input `direction` float32, in the shape of
the feature, instead of `labels`. Its loss is the inner product of the two, and `feature` is a third output.
With an empty direction (0, ...) the backward pass is left out and only the feature given, in a third of the
time; otherwise onnxruntime runs all nodes of a graph, whichever outputs are asked for.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from torch import fx, nn

from ulecli.errors import ModelError, unknown
from ulecli.perturb.gradient_rules.convolution import BatchNorm, batch_norm, conv2d, folded
from ulecli.perturb.gradient_rules.graph import Emitted, Graph, float_info
from ulecli.perturb.gradient_rules.reshaping import Size, Sizes
from ulecli.perturb.gradient_rules.table import RULES


def gradient_graph(net: nn.Module, channels: int, *, feature: str | None = None, half: bool = False) -> bytes:
    """Write the gradient graph of a trained net.

    Args:
        net: In evaluation mode; takes images (N, `channels`, H, W) and returns logits.
        channels: 1 for luma, 3 for RGB.
        feature: Name of a layer within the net, as `named_modules` has it, for the graph of its output.
        half: Store the weights in half precision; what has no more digits than that stays what it is.

    Returns:
        The serialised ONNX model, which holds its weights.

    Raises:
        ModelError: the net does something that has no rule, or is in training mode.
        UsageError: there is no layer of the name.
    """
    graph = Graph(half=half)
    images = float_info("images", ["N", channels, "H", "W"])
    walk = _Walk(net, graph)
    output = walk.forward(feature)
    graph.infer_shapes([images])
    outputs = [float_info("loss", ["N"]), float_info("gradient", ["N", channels, "H", "W"])]
    if feature is None:
        if len(graph.shape(output)) != 2:
            raise ModelError("the gradient graph needs a net that returns logits (N, classes)")
        second = helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"])
        start = _cross_entropy(graph, output)
    else:
        sizes = [size or f"feature{axis}" for axis, size in enumerate(graph.shape(output)[1:], 1)]
        second = float_info("direction", ["N or 0", *sizes])
        graph.emit_output("feature", "Identity", output)
        asked = graph.emit("Cast", graph.emit("Size", "direction"), to=TensorProto.BOOL)
        forward = len(graph.nodes)
        start = _inner_product(graph, output, len(sizes))
    graph.emit_output("gradient", "Identity", walk.backward(output, start))
    if feature is not None:
        graph.only_where(asked, forward, outputs)
        outputs.append(float_info("feature", ["N", *sizes]))
    return graph.model([images, second], outputs)


_IN_PLACE = frozenset({"iadd", "imul", "isub", "itruediv"})
"""Python's operators that change their first argument."""


class _Tracer(fx.Tracer):
    """Traces every layer down to torch's functions, but for batch norm, which is folded as a whole.

    Attributes:
        outputs: What each layer returned, by its name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, Any] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, BatchNorm) and type(m).forward is nn.BatchNorm2d.forward

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        name = self.path_of_module(m)
        with _naming(f"layer {name} ({type(m).__name__})"):
            self.outputs[name] = super().call_module(m, forward, args, kwargs)
        return self.outputs[name]

    def traced(self, net: nn.Module) -> fx.Graph:
        """Return the trace of a net; see `trace`, which does not name the layer where it fails."""
        with _naming(f"the net ({type(net).__name__})"):
            return self.trace(net)


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Raise whatever fails within as a `ModelError` that says in which layer; the innermost is named."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # a layer may do anything when its input is only a stand-in
        reason = str(error).partition("\n")[0]
        raise ModelError(f"the gradient graph can't follow {place}: {reason}") from error


@contextmanager
def _refused(place: str) -> Iterator[None]:
    """Add to what a rule refuses in which layer it was."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"the gradient graph can't take {place}: {error}") from error


class _Walk:
    """Walks a traced net forwards and backwards and emits its nodes."""

    def __init__(self, net: nn.Module, graph: Graph) -> None:
        self._net = net
        self._graph = graph
        self._values: dict[fx.Node, Any] = {}
        self._folded: set[fx.Node] = set()
        self._last: fx.Node | None = None
        self._tape: list[tuple[str, Emitted]] = []

    def forward(self, feature: str | None) -> str:
        """Emit the forward pass up to the logits or a feature and return the name of that value."""
        if any(layer.training for layer in self._net.modules()):
            raise ModelError("the gradient graph needs a net in evaluation mode; call its eval() first")
        tracer = _Tracer()
        traced = tracer.traced(self._net)
        if feature is not None and feature not in tracer.outputs:
            raise unknown("layer", feature, tracer.outputs, "those that named_modules() gives")
        if feature is not None:
            self._last = getattr(tracer.outputs[feature], "node", None)
            if self._last is None:
                raise ModelError(f"the gradient graph needs one tensor, and layer {feature} returns several")
        for node in traced.nodes:
            with _refused(_place(node)):
                self._values[node] = self._value(node)
            if node is self._last:
                break
        output = self._values[node]
        if not isinstance(output, str):
            raise ModelError(f"the gradient graph needs one tensor, not the {type(output).__name__} returned")
        return output

    def backward(self, output: str, gradient: str) -> str:
        """Emit the backward pass from the gradient of an output and return the name of the images' own."""
        gradients: dict[str, list[str]] = defaultdict(list)
        gradients[output].append(gradient)
        for place, (value, inputs) in reversed(self._tape):
            if value not in gradients:  # the output does not depend on it
                continue
            total = self._total(gradients.pop(value))
            with _refused(place):
                for name, back in inputs:
                    gradients[name].append(back(total))
        if not gradients["images"]:
            raise ModelError("the gradient graph needs a net whose output depends on the images")
        return self._total(gradients["images"])

    def _total(self, gradients: list[str]) -> str:
        return gradients[0] if len(gradients) == 1 else self._graph.emit("Sum", *gradients)

    def _value(self, node: fx.Node) -> Any:
        """Emit one node of the trace; return a name, or what does not depend on the images."""
        if node.op == "placeholder":
            if self._values and not node.args:
                raise ModelError("a net that takes more than images has no rule")
            return node.args[0] if node.args else "images"
        if node.op == "output":
            return self._of(node.args[0])
        if node.op == "get_attr":
            return _attribute(self._net, str(node.target))
        if node.op == "call_module":
            (value,) = self._of(node.args)
            if node in self._folded:
                return value
            return self._record(node, batch_norm(self._graph, value, self._norm(node)))
        args, kwargs = self._of(node.args), self._of(node.kwargs)
        if not any(isinstance(self._values[source], str) for source in node.all_input_nodes):
            return _computed(node, args, kwargs)
        return self._emitted(node, args, kwargs)

    def _emitted(self, node: fx.Node, args: Any, kwargs: dict[str, Any]) -> Any:
        """Apply the rule of a function or method to what it was called with."""
        name = _function(node)
        rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
        if rule is None:
            raise ModelError(f"there is no rule for '{name}'")
        try:
            call = inspect.signature(rule).bind(self._graph, *args, **kwargs)
        except TypeError as error:
            raise ModelError(f"the rule for '{name}' does not take these arguments: {error}") from error
        norm = self._foldable(node) if rule is conv2d else None
        if norm is not None:
            weight, bias = call.arguments["weight"], call.arguments.get("bias")
            call.arguments["weight"], call.arguments["bias"] = folded(weight, bias, self._norm(norm))
            self._folded.add(norm)
        output = self._record(node, rule(*call.args, **call.kwargs))
        if name.endswith("_") or name in _IN_PLACE or call.arguments.get("inplace"):
            self._values[node.all_input_nodes[0]] = output  # whoever reads it later reads it changed
        return output

    def _record(self, node: fx.Node, emitted: Emitted | Size | Sizes) -> Any:
        if not isinstance(emitted, tuple):
            return emitted
        if emitted[1]:
            self._tape.append((_place(node), emitted))
        return emitted[0]

    def _foldable(self, convolution: fx.Node) -> fx.Node | None:
        """Return the batch norm that alone reads a convolution, if it does and has running statistics."""
        readers = list(convolution.users)
        if convolution is self._last or len(readers) != 1 or readers[0].op != "call_module":
            return None
        layer = self._net.get_submodule(str(readers[0].target))
        return readers[0] if layer.running_mean is not None else None

    def _norm(self, node: fx.Node) -> BatchNorm:
        layer = self._net.get_submodule(str(node.target))
        assert isinstance(layer, BatchNorm)
        if layer.running_mean is None:
            raise ModelError("batch norm without running statistics depends on the other images")
        return layer

    def _of(self, argument: Any) -> Any:
        return fx.node.map_arg(argument, self._values.__getitem__)


def _function(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _computed(node: fx.Node, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function whose arguments don't depend on the images, such as weights and sizes."""
    try:
        if isinstance(node.target, str):
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)
    except Exception as error:  # such as arithmetic with a size that is known only when the graph runs
        raise ModelError(f"'{_function(node)}' needs what is not known yet: {error}") from error


def _place(node: fx.Node) -> str:
    """Say in which layer of the net a node of its trace is."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return f"'{_function(node)}'"
    name, kind = list(stack.values())[-1]
    return f"layer {name} ({kind.__name__})"


def _cross_entropy(graph: Graph, logits: str) -> str:
    """Emit the loss and return the gradient of its sum by the logits.

    The textbook form softmax - onehot cancels once the net is sure; ``q - onehot * sum(q)`` with
    ``q = softmax * (1 - onehot)`` is the same without the cancellation, so signs stay right to the last step.
    """
    classes = graph.emit("Gather", graph.emit("Shape", logits), graph.constant(1, np.int64))
    onehot = graph.emit("OneHot", "labels", classes, graph.constant([0, 1]), axis=-1)
    log_chance = graph.emit("LogSoftmax", logits, axis=-1)
    axis = graph.integers(1)
    chosen = graph.emit("ReduceSum", graph.emit("Mul", onehot, log_chance), axis, keepdims=0)
    graph.emit_output("loss", "Neg", chosen)
    others = graph.emit("Mul", graph.emit("Exp", log_chance), graph.emit("Sub", graph.constant(1), onehot))
    return graph.emit("Sub", others, graph.emit("Mul", onehot, graph.emit("ReduceSum", others, axis)))


def _inner_product(graph: Graph, feature: str, axes: int) -> str:
    """Emit the loss of a feature and return the gradient of its sum by the feature."""
    product = graph.emit("Mul", feature, "direction")
    graph.emit_output("loss", "ReduceSum", product, graph.integers(*range(1, axes + 1)), keepdims=0)
    return "direction"


def _attribute(net: nn.Module, name: str) -> Any:
    layer, _, attribute = name.rpartition(".")
    return getattr(net.get_submodule(layer), attribute)
