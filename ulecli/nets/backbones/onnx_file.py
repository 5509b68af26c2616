"""Backbones of ONNX files: any net that onnxruntime runs. They can't be trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ulecli.errors import ModelError, UsageError, nearest, shown
from ulecli.nets.backbones.backbone import (
    OUTPUT,
    USUAL_SIZE,
    Backbone,
    BackboneOptions,
    Preprocessing,
    sha256_of,
    stated,
)

_CLASSIFIERS = {"Gemm", "MatMul"}

_AFTER_CLASSIFIERS = {
    *("Add", "Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Squeeze", "Reshape", "Flatten"),
    *("Dropout", "QuantizeLinear", "DequantizeLinear"),
}
"""What may stand between a classifier and the output. Where something else does, such as the batch norm or
the division by a length at the end of a face embedding, the output holds features and not classes."""

_DTYPES: dict[int, Any] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.DOUBLE: np.float64,
}
"""Types of input that pictures can be given in."""


def open_onnx(path: Path, name: str, options: BackboneOptions) -> Backbone:
    """Open a net of an ONNX file.

    Size and layout are those of its input, where it fixes them. Its metadata may hold `size`, `mean` and
    `std`, see `backbone.stated`.

    Raises:
        ModelError: It is no net of one picture, has no such layer, or onnxruntime can't run it.
        UsageError: It is made for another size than the one that is asked for.
    """
    model = _read(path, name)
    entry = _picture_input(model, name)
    shape = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in entry.type.tensor_type.shape.dim]
    channels_last = shape[3] == 3 and shape[1] != 3
    size = shape[1] if channels_last else shape[2]
    own = stated(
        {prop.key: prop.value for prop in model.metadata_props}, name, Preprocessing(size or USUAL_SIZE)
    )
    if size and options.size not in (0, size):
        raise UsageError(
            f"{name} takes pictures of {size} x {size} alone, not of {options.size}: say "
            f"--backbone-size {size}"
        )
    layer = _layer(model, options.layer, name)
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=layer))
    dtype = _DTYPES[entry.type.tensor_type.elem_type]
    net = OnnxNet(_session(model, name), entry.name, shape[0], channels_last, dtype)
    digest = sha256_of(path, layer)
    return Backbone(
        name, net, options.applied(own), digest, trainable=False, channels_last=channels_last,
        packages=("onnxruntime",),
    )  # fmt: skip


class OnnxNet(nn.Module):
    """A session of onnxruntime as a module without weights; it computes on the CPU.

    Args:
        session: With one output.
        entry: Name of its input.
        batch: Pictures that it takes at a time; 0 for any number.
        channels_last: Whether its input is (N, H, W, 3).
        dtype: Of its input.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, entry: str, batch: int, channels_last: bool, dtype: Any
    ) -> None:
        super().__init__()
        self._session, self._entry, self._batch = session, entry, batch
        self._channels_last, self._dtype = channels_last, dtype

    def forward(self, images: Tensor) -> Tensor:
        """Return what the net gives for normalised pictures (N, 3, H, W)."""
        seen = images.detach().cpu().numpy().astype(self._dtype)
        if self._channels_last:
            seen = np.ascontiguousarray(seen.transpose(0, 2, 3, 1))
        parts = [self._run(part) for part in self._parts(seen)]
        return torch.from_numpy(np.concatenate(parts)[: len(seen)]).to(images.device)

    def _parts(self, seen: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
        """Yield pictures as many at a time as the net takes; the last ones are filled up with the last."""
        count = self._batch or len(seen)
        for start in range(0, len(seen), count):
            part = seen[start : start + count]
            yield np.concatenate([part, np.repeat(part[-1:], count - len(part), 0)])

    def _run(self, part: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found = np.asarray(self._session.run(None, {self._entry: part})[0], np.float32)
        return found.reshape(1, -1) if found.ndim == 1 else found


def _read(path: Path, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own errors, and those of files beside it
        raise ModelError(
            f"{name} is no TorchScript, .pth or .safetensors file and can't be read as ONNX "
            f"({_line(error)}): export the net again"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{name} holds no net: give an ONNX, TorchScript, .pth or .safetensors file")
    return model


def _picture_input(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    """Return the one input of a net, which has to be a batch of pictures."""
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"{name} takes {len(inputs)} inputs; a backbone takes one, a batch of pictures")
    kind = inputs[0].type.tensor_type
    sides = [axis.dim_value for axis in kind.shape.dim]
    if len(sides) != 4 or not ({sides[1], sides[3]} & {0, 3}):
        raise ModelError(
            f"{name} takes an input of shape {sides}; a backbone takes (N, 3, H, W) or (N, H, W, 3)"
        )
    if kind.elem_type not in _DTYPES:
        raise ModelError(f"{name} takes whole numbers or text; a backbone takes floating point: export it so")
    entry: onnx.ValueInfoProto = inputs[0]
    return entry


def _layer(model: onnx.ModelProto, asked: str, name: str) -> str:
    """Return the tensor that holds the features: the one asked for, or what goes into the classifier.

    The classifier is the last product with constant weights, if nothing but `_AFTER_CLASSIFIERS` follows it.
    """
    output: str = model.graph.output[0].name
    if asked == OUTPUT:
        return output
    known = [result for node in model.graph.node for result in node.output if result]
    if asked:
        if asked not in known:
            raise ModelError(f"{name} has no layer '{shown(asked)}'{nearest(asked, known)}")
        return asked
    constants = _constants(model)
    makers = {result: node for node in model.graph.node for result in node.output}
    at = output
    while (node := makers.get(at)) is not None:
        varying = [one for one in node.input if one and one not in constants]
        if node.op_type in _CLASSIFIERS and len(varying) == 1 and len(node.input) > 1:
            return str(varying[0])
        if node.op_type not in _AFTER_CLASSIFIERS or len(varying) != 1:
            break
        at = varying[0]
    return output


def _constants(model: onnx.ModelProto) -> set[str]:
    """Return the names of all tensors that no picture has a part in."""
    known = {one.name for one in model.graph.initializer}
    for node in model.graph.node:  # which stand in the order of their work
        if all(one in known for one in node.input if one):
            known.update(node.output)
    return known


def _session(model: onnx.ModelProto, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime and protobuf raise errors of their own
        raise ModelError(f"onnxruntime can't run {name} ({_line(error)}): export the net again") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
