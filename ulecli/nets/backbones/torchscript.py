"""Backbones of TorchScript files. Such a file holds code, which runs when it is opened: trust its source."""

from __future__ import annotations

import contextlib
import json
import warnings
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import OUTPUT, Backbone, BackboneOptions, Preprocessing, sha256_of, stated

METADATA = "preprocessing.json"
"""The extra file in which a TorchScript file may state its `size`, `mean` and `std`."""

_WIDEST = 8192
"""Features that a layer before a classifier has at most; what has more is no pooled feature."""


def open_torchscript(path: Path, name: str, options: BackboneOptions) -> Backbone:
    """Open a net of a TorchScript file.

    Features are taken before its last linear layer, which is made to pass on what it gets; where that can't
    be, they are its output.

    Raises:
        ModelError: It can't be opened.
        UsageError: Another layer is asked for than these two.
    """
    if options.layer not in ("", OUTPUT):
        raise UsageError(
            f"{name}: of a TorchScript file, features are the input of its last linear layer, or with "
            f"--backbone-layer {OUTPUT} its output; export it as ONNX to take another"
        )
    net, own = _read(path, name)
    preprocessing = options.applied(own)
    if not options.layer:
        _skip_classifier(net, preprocessing.size)
    trainable = any(True for _ in net.parameters())
    return Backbone(name, ScriptedNet(net), preprocessing, sha256_of(path, options.layer), trainable)


class ScriptedNet(nn.Module):
    """A net of TorchScript whose copies have weights of their own."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Return what the net gives for normalised pictures (N, 3, H, W)."""
        found: Tensor = self.net(images)
        return found

    def __deepcopy__(self, _: dict[int, object]) -> ScriptedNet:
        # torch's own copy of such a net shares the weights.
        file = BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(self.net, file)
            file.seek(0)
            return ScriptedNet(torch.jit.load(file, map_location="cpu"))  # type: ignore[no-untyped-call]


def _read(path: Path, name: str) -> tuple[nn.Module, Preprocessing]:
    extra = {METADATA: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what newer ways of export torch recommends is for the file's maker
            net = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"{name} can't be opened as TorchScript ({line}): export the net again") from error
    text = extra[METADATA]
    try:
        entries = json.loads(text) if text else {}
        metadata = {key: json.dumps(value) for key, value in entries.items()}
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{name}: its {METADATA} is no JSON object ({error})") from error
    return net.eval(), stated(metadata, name, Preprocessing())


@torch.no_grad()
def _skip_classifier(net: nn.Module, size: int) -> None:
    """Make the last linear layer the identity, if what follows it can take that."""
    linear = [layer for layer in net.modules() if getattr(layer, "original_name", "") == "Linear"]
    if not linear:
        return
    weight: Tensor = linear[-1].weight  # type: ignore[assignment]
    bias: Tensor | None = getattr(linear[-1], "bias", None)
    width = int(weight.shape[1])
    if width > _WIDEST:
        return
    before = weight.data, None if bias is None else bias.data
    weight.data = torch.eye(width, dtype=weight.dtype)
    if bias is not None:
        bias.data = torch.zeros(width, dtype=bias.dtype)
    with contextlib.suppress(Exception):  # nets raise what they like
        if net(torch.full((2, 3, size, size), 0.5)).shape[-1] == width:
            weight.requires_grad_(False)
            if bias is not None:
                bias.requires_grad_(False)
            return
    weight.data = before[0]
    if bias is not None and before[1] is not None:
        bias.data = before[1]
