"""The face descriptor of dlib in the weights that packages for browsers carry, quantised to bytes.

It maps a picture of a face, cut out and upright, to 128 numbers that are near each other for one person (King
2017, 'High Quality Face Recognition with Deep Metric Learning'). The file is a weights manifest of
TensorFlow.js, a JSON file beside which the weights lie: `face_recognition_model-weights_manifest.json` of the
npm packages face-api.js and @vladmandic/face-api (MIT; dlib's weights are in the public domain).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import Backbone, BackboneOptions, Preprocessing, sha256_of

SIZE = 150
"""Side in pixels of the faces that it was trained on."""

MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)

_BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
"""Residual blocks in their order; those with "down" in their name halve the sides."""

_DTYPES = {"float32": np.float32, "float16": np.float16, "uint8": np.uint8, "uint16": np.uint16}


def open_face_descriptor(path: Path, name: str, options: BackboneOptions) -> Backbone:
    """Open the net of a weights manifest.

    Raises:
        ModelError: The file is no such manifest, weights are missing, or it is of another net.
        UsageError: A layer is asked for.
    """
    if options.layer:
        raise UsageError(f"--backbone-layer: {name} gives its 128 numbers and nothing else; leave it out")
    weights, files = _read(path, name)
    try:
        net = FaceDescriptor(weights)
    except KeyError as error:
        raise ModelError(
            f"{name} lacks {error}: of weights manifests, only those of the face_recognition_model are known"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{name} holds weights that don't fit together ({error}): get it again") from error
    digest = sha256_of(path, *(sha256_of(file) for file in files))
    preprocessing = options.applied(Preprocessing(SIZE, MEAN, (1.0, 1.0, 1.0)))
    return Backbone(name, net.eval(), preprocessing, digest)


class FaceDescriptor(nn.Module):
    """A residual net from normalised faces (N, 3, H, W) to descriptors (N, 128).

    Args:
        weights: By the names of the manifest.

    Raises:
        KeyError: One is missing.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = _convolution(weights, "conv32_down", stride=2, padding=0)
        self.blocks = nn.Sequential(*(_Block(weights, name) for name in _BLOCKS))
        self.head = nn.Parameter(weights["fc"])

    def forward(self, images: Tensor) -> Tensor:
        """Return the descriptors."""
        seen = functional.max_pool2d(self.stem(images).relu(), 3, 2)
        maps: Tensor = self.blocks(seen)
        return maps.mean((2, 3)) @ self.head


class _Block(nn.Module):
    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self._halves = "down" in name
        stride, padding = (2, 0) if self._halves else (1, 1)
        self.first = _convolution(weights, f"{name}/conv1", stride=stride, padding=padding)
        self.second = _convolution(weights, f"{name}/conv2", stride=1, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        found = self.second(self.first(maps).relu())
        if self._halves:
            maps = functional.avg_pool2d(maps, 2)
        # The shortcut has fewer channels, and a row and column more where a side is even: 0 stands for both.
        height, width = (max(found.shape[axis], maps.shape[axis]) for axis in (2, 3))
        maps = _grown(maps, found.shape[1], height, width)
        return (_grown(found, found.shape[1], height, width) + maps).relu()


def _grown(maps: Tensor, channels: int, height: int, width: int) -> Tensor:
    missing = (width - maps.shape[3], height - maps.shape[2], channels - maps.shape[1])
    return functional.pad(maps, (0, missing[0], 0, missing[1], 0, missing[2]))


def _convolution(weights: Mapping[str, Tensor], name: str, *, stride: int, padding: int) -> nn.Conv2d:
    """Return a convolution with the scale and shift that follow it taken into it."""
    filters = weights[f"{name}/conv/filters"].permute(3, 2, 0, 1)  # from (H, W, in, out)
    scale, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
    outer, inner, *window = filters.shape
    layer = nn.Conv2d(inner, outer, window[0], stride, padding)
    with torch.no_grad():
        layer.weight.copy_(filters * scale[:, None, None, None])
        assert layer.bias is not None
        layer.bias.copy_(weights[f"{name}/conv/bias"] * scale + shift)
    return layer


def _read(path: Path, name: str) -> tuple[dict[str, Tensor], list[Path]]:
    """Return the weights of a manifest by name, and the files that they lie in."""
    weights, files = {}, []
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        for group in groups:
            parts = [path.parent / Path(part).name for part in group["paths"]]
            content, at = b"".join(part.read_bytes() for part in parts), 0
            for entry in group["weights"]:
                weights[str(entry["name"])], at = _weight(entry, content, at)
            files += parts
    except OSError as error:
        raise ModelError(
            f"{name}: weights that belong to it can't be read ({error}): lay them beside it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{name} is no weights manifest of TensorFlow.js ({error!r}): name another"
        ) from error
    return weights, files


def _weight(entry: Mapping[str, Any], content: bytes, at: int) -> tuple[Tensor, int]:
    """Return a weight that begins at a place of its file, and the place behind it."""
    shape, how = [int(side) for side in entry["shape"]], entry.get("quantization")
    dtype = np.dtype(_DTYPES[how["dtype"] if how else entry["dtype"]])
    count = math.prod(shape)
    values = np.frombuffer(content, dtype, count, at).astype(np.float32)
    if how and "scale" in how:
        values = values * np.float32(how["scale"]) + np.float32(how["min"])
    return torch.from_numpy(values.reshape(shape)), at + count * dtype.itemsize
