"""The ONNX nodes and constants of a graph while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ulecli.errors import ModelError

OPSET, IR_VERSION = 20, 10

Shape = tuple[int | None, ...]
"""Sizes of a value, None where they follow from the size of the images."""

Backward = Callable[[str], str]
"""Emits the nodes that turn the gradient of an output, given by its name, into that of an input."""

Emitted = tuple[str, list[tuple[str, Backward]]]
"""What a rule returns: the output's name and, for each input that depends on the images, its way back."""

Pair = int | Sequence[int]
"""One number for both height and width, or one each."""

_SHARED = 16
"""Constants of at most this many elements are stored once, however often they are asked for."""


class Graph:
    """The nodes and constants emitted so far; values go by their names.

    Attributes:
        nodes: In the order of execution.
        constants: Weights, and small numbers.
    """

    def __init__(self, *, half: bool = False) -> None:
        """Begin an empty graph.

        Args:
            half: Store float constants of more than a few elements in half precision, which takes half the
                room; they are float32 again when the graph is loaded.
        """
        self._half = half
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._shapes: dict[str, Shape] = {}

    def emit(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name; an input called "" is left out."""
        return self.emit_many(operator, 1, *inputs, **attributes)[0]

    def emit_many(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        stem = f"{operator}{len(self.nodes)}"
        names = [stem, *(f"{stem}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def emit_output(self, name: str, operator: str, *inputs: str, **attributes: Any) -> None:
        """Add a node whose output is one of the graph's and bears that name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Return the name of a constant: numbers, an array or a tensor, stored as `kind`."""
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        array: NDArray[Any] = np.asarray(values, kind)
        key = (array.dtype.str, array.shape, array.tobytes() if array.size <= _SHARED else b"")
        if array.size <= _SHARED and key in self._shared:
            return self._shared[key]
        name = f"constant{len(self.constants)}"
        if self._half and kind is np.float32 and array.size > _SHARED:
            self.constants.append(numpy_helper.from_array(array.astype(np.float16), name))
            return self.emit("Cast", name, to=TensorProto.FLOAT)
        self.constants.append(numpy_helper.from_array(array, name))
        if array.size <= _SHARED:
            self._shared[key] = name
        return name

    def integers(self, *values: int) -> str:
        """Return the name of a constant list of integers: axes, sizes, bounds."""
        return self.constant(values, np.int64)

    def sizes(self, value: str, start: int, end: int) -> str:
        """Emit the sizes of the axes from `start` to before `end` as a list of integers."""
        return self.emit("Shape", value, start=start, end=end)

    def cut_to(self, value: str, like: str) -> str:
        """Emit the top left corner of (N, C, H, W) that has the height and width of another value."""
        return self.emit("Slice", value, self.integers(0, 0), self.sizes(like, 2, 4), self.integers(2, 3))

    def only_where(self, condition: str, first: int, outputs: list[onnx.ValueInfoProto]) -> None:
        """Let the last nodes run only where a condition holds; elsewhere what they give is empty.

        Args:
            condition: Name of one boolean, emitted before them.
            first: Number of the first of these nodes.
            outputs: All that they give of the graph's outputs, which are floats.
        """
        names = {output.name: f"{output.name}_made" for output in outputs}
        made = self.nodes[first:]
        del self.nodes[first:]
        for node in made:
            node.output[:] = [names.get(name, name) for name in node.output]
        ranks = {
            name: len(output.type.tensor_type.shape.dim) for name, output in zip(names, outputs, strict=True)
        }
        sizes = {rank: self.integers(*[0] * rank) for rank in set(ranks.values())}
        empty = [
            helper.make_node("ConstantOfShape", [sizes[rank]], [f"{name}_none"])
            for name, rank in ranks.items()
        ]
        branches = {
            "then_branch": helper.make_graph(made, "made", [], [_untold(names[name]) for name in names]),
            "else_branch": helper.make_graph(empty, "none", [], [_untold(f"{name}_none") for name in names]),
        }
        self.nodes.append(helper.make_node("If", [condition], list(names), **branches))

    def infer_shapes(self, inputs: list[onnx.ValueInfoProto]) -> None:
        """Find the shapes of all values that were emitted so far.

        Args:
            inputs: Of the graph, with their shapes.
        """
        body = helper.make_graph(self.nodes, "forward", inputs, [], self.constants)
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        for value in (*known.value_info, *known.input):
            if value.type.tensor_type.HasField("shape"):
                dimensions = value.type.tensor_type.shape.dim
                self._shapes[value.name] = tuple(
                    dimension.dim_value if dimension.HasField("dim_value") else None
                    for dimension in dimensions
                )

    def shape(self, value: str) -> Shape:
        """Return the shape of a value of the forward pass; for use on the way back, as it is inferred before.

        Raises:
            ModelError: it could not be inferred.
        """
        if value not in self._shapes:
            raise ModelError(f"the gradient graph needs to know the shape of {value}, and can't infer it")
        return self._shapes[value]

    def model(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bytes:
        """Return the checked and serialised model."""
        body = helper.make_graph(self.nodes, "gradient", inputs, outputs, self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION, producer_name="ulecli")
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def float_info(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    """Describe a float32 input or output; a size may be a name."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _untold(name: str) -> onnx.ValueInfoProto:
    """Describe a float32 value of any shape."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def pair(values: Pair) -> tuple[int, int]:
    """Return the numbers for height and width."""
    high, wide = (values, values) if isinstance(values, int) else values
    return high, wide
