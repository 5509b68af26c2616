"""DenseNet-121 for small pictures."""

from __future__ import annotations

import torch
from torch import nn

from ulecli.nets.layers import check_channels

BLOCKS = (6, 12, 24, 16)
"""Layers of each block of DenseNet-121 (Table 1 of the paper)."""


class Dense(nn.Module):
    """Bottleneck layer that adds `growth` channels to those it was given; H and W are kept."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.branch = nn.Sequential(
            *_convolution(before, inner, 1),
            *_convolution(inner, growth, 3),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, before + growth, H, W)."""
        return torch.cat([features, self.branch(features)], 1)


def densenet121(*, channels: int, classes: int, growth: int = 32) -> nn.Sequential:
    """Build the CIFAR form of DenseNet-121 (Huang et al., 'Densely Connected Convolutional Networks', 2017).

    The stem is one 3x3 convolution without pooling, and transitions halve channels and sides. 6,956,298
    parameters for RGB and 10 classes. Pixels are not normalised, as in the published protocols.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes.
        growth: Channels that each layer adds; the stem has twice as many.

    Returns:
        Net from (N, channels, H, W), unit scale, sides of 8 or more, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    width = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(check_channels(channels), width, 3, padding=1, bias=False)]
    for number, depth in enumerate(BLOCKS):
        if number > 0:
            layers += [*_convolution(width, width // 2, 1), nn.AvgPool2d(2)]
            width //= 2
        for _ in range(depth):
            layers.append(Dense(width, growth))
            width += growth
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def _convolution(before: int, after: int, side: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    # Normalise and rectify first: each layer sees the sum of all before it under a scale of its own.
    convolution = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
    return nn.BatchNorm2d(before), nn.ReLU(), convolution
