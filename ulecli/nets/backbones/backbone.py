"""A pretrained net without its classifier, and how it wants to be shown pictures."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli.errors import ModelError, UsageError, unknown

Channels = tuple[float, float, float]
"""A number for each of red, green and blue."""

USUAL_SIZE = 224
"""Side that nets trained on ImageNet are shown most often."""

NORMALISATIONS: Mapping[str, tuple[Channels, Channels]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "signed": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "levels": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    }
)
"""By name: mean and standard deviation, in unit scale. "signed" gives -1 to 1, "levels" 0 to 255."""

OUTPUT = "output"
"""The layer that is the net's own output, with its classifier if it has one."""

LARGEST_SIZE = 4096
"""Side in pixels that nobody shows a net more than."""


_PIXELS = {"cpu": 1 << 18}
"""Pixels that a net without gradients sees at a time, by type of device: on a CPU, what its maps need beyond
that is fetched from the system anew for each layer, which took three times as long."""

_MANY_PIXELS = 1 << 22
"""The same on other devices."""


@dataclass(frozen=True)
class Preprocessing:
    """What a picture goes through before a backbone sees it.

    Attributes:
        size: Side in pixels of the square that it is resized to.
        mean: Of each channel, unit scale; it is subtracted.
        std: Of each channel, unit scale, above 0; what is left is divided by it.
    """

    size: int = USUAL_SIZE
    mean: Channels = NORMALISATIONS["imagenet"][0]
    std: Channels = NORMALISATIONS["imagenet"][1]


@dataclass(frozen=True)
class BackboneOptions:
    """What a user asks of a backbone beside its weights.

    Attributes:
        size: Side in pixels; 0 for the backbone's own.
        normalisation: A key of `NORMALISATIONS`; "" for the backbone's own.
        layer: Where features are taken; "" for the layer before the classifier, `OUTPUT` for its output.

    Raises:
        UsageError: The size is out of range, or there is no such normalisation.
    """

    size: int = 0
    normalisation: str = ""
    layer: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST_SIZE:
            raise UsageError(f"--backbone-size is {self.size}; name a side of 1 to {LARGEST_SIZE} pixels")
        if self.normalisation and self.normalisation not in NORMALISATIONS:
            raise unknown("normalisation", self.normalisation, NORMALISATIONS)

    def applied(self, own: Preprocessing) -> Preprocessing:
        """Return a backbone's own preprocessing with what is asked for in its place."""
        if self.normalisation:
            mean, std = NORMALISATIONS[self.normalisation]
            own = replace(own, mean=mean, std=std)
        return replace(own, size=self.size) if self.size else own


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained net that gives pooled features.

    Attributes:
        name: In tables.
        net: From normalised pictures (N, 3, size, size) to features: (N, D), or a map or sequence of them.
            It is in evaluation mode and shared: whoever trains it takes a copy.
        preprocessing: What pictures go through before.
        digest: The sha256 of the weights.
        trainable: Whether gradients go through it.
        channels_last: Whether maps of features have their channels last.
        packages: Distributions whose versions belong into records.
    """

    name: str
    net: nn.Module
    preprocessing: Preprocessing
    digest: str
    trainable: bool = True
    channels_last: bool = False
    packages: tuple[str, ...] = ()

    def module(self, *, copy: bool = False) -> Features:
        """Return the net with its preprocessing and pooling, sharing its weights or with a copy of them."""
        return Features(deepcopy(self.net) if copy else self.net, self.preprocessing, self.channels_last)

    def check_trainable(self) -> None:
        """Refuse to be trained where there is nothing to train.

        Raises:
            UsageError: There is not.
        """
        if not self.trainable:
            raise UsageError(
                f"{self.name} has no weights that can be fine-tuned here: take the exploiter probe or "
                "centroid, or give the net as TorchScript or as weights of a torchvision net"
            )

    def described(self) -> dict[str, Any]:
        """Return what decides its features, for records."""
        shown = self.preprocessing
        return {
            "name": self.name,
            "sha256": self.digest,
            "size": shown.size,
            "mean": shown.mean,
            "std": shown.std,
        }


@dataclass(frozen=True)
class Bundled:
    """A backbone whose weights a package carries.

    Attributes:
        open: Opens it.
        words: What it is, and its licence, in a line.
    """

    open: Callable[[BackboneOptions], Backbone]
    words: str


class Features(nn.Module):
    """From pictures (N, 3, H, W), unit scale, any size, to pooled features (N, D), float32.

    Args:
        net: Of a backbone.
        preprocessing: What it wants.
        channels_last: Whether its maps have their channels last.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, preprocessing: Preprocessing, channels_last: bool = False) -> None:
        super().__init__()
        self.net, self._size, self._channels_last = net, preprocessing.size, channels_last
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(preprocessing.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of pictures; without gradients, of a few at a time, which bounds the memory."""
        if torch.is_grad_enabled():
            return self._features(resized(images, self._size))
        count = max(1, _PIXELS.get(images.device.type, _MANY_PIXELS) // self._size**2)
        return torch.cat([self._features(resized(part, self._size)) for part in torch.split(images, count)])

    def _features(self, seen: Tensor) -> Tensor:
        return pooled(self.net((seen - self.mean) / self.std), self._channels_last)


def resized(images: Tensor, size: int) -> Tensor:
    """Return pictures (N, 3, size, size), unit scale, by the antialiased triangle filter."""
    if images.shape[2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def pooled(features: Tensor, channels_last: bool = False) -> Tensor:
    """Return the mean of a map (N, C, H, W) over its places, or of a sequence (N, T, C) over its tokens."""
    if features.ndim == 4:
        return features.mean((1, 2) if channels_last else (2, 3)).float()
    return (features.mean(1) if features.ndim == 3 else features).float()


def stated(metadata: Mapping[str, str], file: str, own: Preprocessing) -> Preprocessing:
    """Return the preprocessing that a file's own metadata state.

    Args:
        metadata: Texts by name: `size` (a side in pixels, or a shape of which the last number counts), `mean`
            and `std` (three numbers, or one for all channels; unit scale), as JSON.
        file: Its name, for messages.
        own: What holds where they state nothing.

    Raises:
        ModelError: They state what can't be.
    """
    try:
        if text := metadata.get("size") or metadata.get("input_size"):
            value = json.loads(text)
            own = replace(own, size=int(value[-1] if isinstance(value, list) else value))
        if text := metadata.get("mean"):
            own = replace(own, mean=_channels(json.loads(text)))
        if text := metadata.get("std"):
            own = replace(own, std=_channels(json.loads(text)))
    except (ValueError, TypeError, IndexError) as error:
        raise ModelError(f"{file}: its metadata state a size, mean or std that is none ({error})") from error
    if (
        not 0 < own.size <= LARGEST_SIZE
        or not min(own.std) > 0
        or not all(map(math.isfinite, own.mean + own.std))
    ):
        raise ModelError(
            f"{file}: its metadata state a size, mean or std that can't be: repair or remove them"
        )
    return own


def _channels(value: Any) -> Channels:
    numbers = value if isinstance(value, list) else [value] * 3
    red, green, blue = map(float, numbers)
    return red, green, blue


def sha256_of(path: Path, *more: str) -> str:
    """Return the digest of a file and of what else decides its features, such as their layer."""
    digest = hashlib.sha256("\n".join(more).encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@torch.no_grad()
def check(backbone: Backbone) -> Backbone:
    """Show a backbone two grey pictures and return it, if it gives features of them.

    Raises:
        ModelError: It can't take pictures of that size, or gives something else.
    """
    size = backbone.preprocessing.size
    try:
        found = backbone.module()(torch.full((2, 3, size, size), 0.5))
    except Exception as error:  # nets raise what they like
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{backbone.name} can't be shown pictures of {size} x {size} ({reason}); name its size by "
            "--backbone-size"
        ) from error
    if found.ndim != 2 or len(found) != 2 or found.shape[1] < 2:
        raise ModelError(
            f"{backbone.name} gives {tuple(found.shape)} for two pictures, which are no features: name "
            "another --backbone-layer"
        )
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"{backbone.name} gives numbers that are not finite: its weights are damaged")
    return backbone
