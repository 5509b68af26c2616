"""The layers that torch lacks."""

from __future__ import annotations

import torch
from torch import nn

from ulecli.errors import UsageError

MEAN, DEVIATION = 0.47, 0.25
"""Of CIFAR-10's luma, unit scale; near enough to any photos' for a first layer with batch norm behind it."""


class Standardise(nn.Module):
    """Map unit-scale pixels to roughly zero mean and unit deviation; shape (N, C, H, W) is kept."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``(images - MEAN) / DEVIATION``."""
        return (images - MEAN) / DEVIATION


class GlobalMax(nn.Module):
    """The strongest response of each channel: (N, C, H, W) to (N, C), whatever H and W are."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the maximum over all positions."""
        return features.amax((2, 3))


class Deviations(nn.Module):
    """Standardise features: (N, D) to (N, D), each divided by its deviation over ordinary photos.

    Args:
        features: Number D of features.
    """

    deviations: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("deviations", torch.ones(features))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return ``features / deviations``; their means stay, since only differences count."""
        return features / self.deviations


def check_channels(channels: int) -> int:
    """Return `channels` if images have that many.

    Raises:
        UsageError: it is neither 1 (luma) nor 3 (RGB).
    """
    if channels not in (1, 3):
        raise UsageError(f"a net sees 1 channel (luma) or 3 (RGB), not {channels}")
    return channels
