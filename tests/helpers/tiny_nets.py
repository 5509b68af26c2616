"""Small nets of known weights, as files of every format that a backbone may come in."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

WIDTH = 6
"""Features of the nets."""


class TinyNet(nn.Module):
    """Convolution, pooling, and a classifier of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, WIDTH, 3, 2, 1)
        self.fc = nn.Linear(WIDTH, 3)
        rng = np.random.default_rng(0)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.from_numpy(rng.normal(0, 0.5, weight.shape)))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images).relu().mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(images))


def tiny_net() -> TinyNet:
    return TinyNet().eval()


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return what a net of ImageNet is shown of unit-scale pictures."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None]


def pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Return unit-scale pictures of noise."""
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, side, side), np.float32))


def write_torchscript(path: Path, net: nn.Module, side: int = 16, metadata: str = "") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against the format, which people have all the same
        traced = torch.jit.trace(net, torch.zeros(1, 3, side, side))
        torch.jit.save(traced, str(path), _extra_files={"preprocessing.json": metadata} if metadata else None)
    return path


def write_onnx(
    path: Path,
    *,
    size: int | None = 16,
    batch: int | None = None,
    channels: int = 3,
    tail: tuple[str, ...] = (),
    classifier: bool = True,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write `tiny_net` as ONNX, with nodes of one input behind the classifier."""
    net = tiny_net()
    nodes = [
        helper.make_node(
            "Conv", ["images", "body.weight", "body.bias"], ["maps"], pads=[1] * 4, strides=[2, 2]
        ),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    last = "features"
    if classifier:
        nodes.append(helper.make_node("Gemm", ["features", "fc.weight", "fc.bias"], ["logits"], transB=1))
        last = "logits"
    for number, kind in enumerate(tail):
        nodes.append(helper.make_node(kind, [last], [f"tail{number}"]))
        last = f"tail{number}"
    shape = [batch or "N", channels, size or "H", size or "W"]
    weights = {name: one.numpy() for name, one in net.state_dict().items()}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(one, name) for name, one in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path
