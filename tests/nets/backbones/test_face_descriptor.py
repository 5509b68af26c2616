from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_nets import pictures
from torch.nn import functional

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import BackboneOptions, check
from ulecli.nets.backbones.face_descriptor import MEAN, open_face_descriptor

WIDTHS = {"conv32": 32, "conv64": 64, "conv128": 128, "conv256": 256}
BLOCKS = {
    "conv32": ("_1", "_2", "_3"),
    "conv64": ("_down", "_1", "_2", "_3"),
    "conv128": ("_down", "_1", "_2"),
    "conv256": ("_down", "_1", "_2", "_down_out"),
}


def shapes() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}

    def layer(name: str, inner: int, outer: int, side: int) -> None:
        found[f"{name}/conv/filters"] = [side, side, inner, outer]
        for end in ("conv/bias", "scale/weights", "scale/biases"):
            found[f"{name}/{end}"] = [outer]

    layer("conv32_down", 3, 32, 7)
    width = 32
    for stem, ends in BLOCKS.items():
        for end in ends:
            layer(f"{stem}{end}/conv1", width, WIDTHS[stem], 3)
            layer(f"{stem}{end}/conv2", WIDTHS[stem], WIDTHS[stem], 3)
            width = WIDTHS[stem]
    return {**found, "fc": [256, 128]}


def write(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Write a manifest of bytes, and return what they stand for."""
    rng, entries, content, weights = np.random.default_rng(0), [], b"", {}
    for name, shape in shapes().items():
        own = rng.integers(0, 256, shape, np.uint8)
        spread = 2.0 / np.prod(shape[:-1]) ** 0.5 if len(shape) > 1 else 0.2
        low = 0.9 if name.endswith("scale/weights") else -spread / 2
        how = {"dtype": "uint8", "scale": spread / 255, "min": low}
        entries.append({"name": name, "shape": shape, "dtype": "float32", "quantization": how})
        content += own.tobytes()
        weights[name] = torch.from_numpy(own.astype(np.float32)) * how["scale"] + how["min"]
    (folder / "a.bin").write_bytes(content[:100000])
    (folder / "b.bin").write_bytes(content[100000:])
    path = folder / "manifest.json"
    path.write_text(json.dumps([{"paths": ["a.bin", "b.bin"], "weights": entries}]))
    return path, weights


def reference(weights: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """The net written down layer by layer, unfolded."""

    def conv(x: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        filters = weights[f"{name}/conv/filters"].permute(3, 2, 0, 1)
        found = functional.conv2d(x, filters, weights[f"{name}/conv/bias"], stride, padding)
        scale, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
        return found * scale[:, None, None] + shift[:, None, None]

    x = functional.max_pool2d(conv(images, "conv32_down", 2, 0).relu(), 3, 2)
    for stem, ends in BLOCKS.items():
        for end in ends:
            down = "down" in end
            out = conv(
                conv(x, f"{stem}{end}/conv1", 2 if down else 1, 0 if down else 1).relu(),
                f"{stem}{end}/conv2",
                1,
                1,
            )
            if down:
                short = functional.avg_pool2d(x, 2)
                whole = torch.zeros(len(x), out.shape[1], *short.shape[2:])
                whole[:, : short.shape[1]] = short
                whole[:, :, : out.shape[2], : out.shape[3]] += out
                x = whole.relu()
            else:
                x = (x + out).relu()
    return x.mean((2, 3)) @ weights["fc"]


def test_it_computes_what_the_layers_say(tmp_path: Path) -> None:
    path, weights = write(tmp_path)
    own = check(open_face_descriptor(path, path.name, BackboneOptions()))
    assert own.preprocessing.size == 150
    images = pictures(2, 150)
    with torch.no_grad():
        found = own.module()(images)
        wanted = reference(weights, images - torch.tensor(MEAN)[:, None, None])
    assert found.shape == (2, 128) and wanted.std() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_what_is_no_such_manifest(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    with pytest.raises(UsageError, match="leave it out"):
        open_face_descriptor(path, "m", BackboneOptions(layer="fc"))
    digest = open_face_descriptor(path, "m", BackboneOptions()).digest
    shard = tmp_path / "b.bin"
    changed = bytearray(shard.read_bytes())
    changed[-1] ^= 1
    shard.write_bytes(changed)
    assert open_face_descriptor(path, "m", BackboneOptions()).digest != digest
    shard.write_bytes(changed[:-9])
    with pytest.raises(ModelError, match="no weights manifest"):
        open_face_descriptor(path, "m", BackboneOptions())
    shard.unlink()
    with pytest.raises(ModelError, match="lay them beside it"):
        open_face_descriptor(path, "m", BackboneOptions())
    path.write_text('[{"paths": [], "weights": []}]')
    with pytest.raises(ModelError, match="only those of the face_recognition_model"):
        open_face_descriptor(path, "m", BackboneOptions())
