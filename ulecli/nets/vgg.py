"""VGG-11 for small pictures."""

from __future__ import annotations

from torch import nn

from ulecli.nets.layers import check_channels

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of each convolution; every stage ends with 2x2 max pooling (configuration A of the paper)."""


def vgg11(*, channels: int, classes: int) -> nn.Sequential:
    """Build VGG-11 with batch norm and one linear layer (after Simonyan and Zisserman, 2015).

    The published code of error-minimising noise calls this net `VGG16`, so the 'VGG' of its tables is this
    one. 9,231,114 parameters for RGB and 10 classes. Pixels are not normalised.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes.

    Returns:
        Net from (N, channels, H, W), unit scale, sides of 32 or more, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    layers: list[nn.Module] = []
    before = check_channels(channels)
    for stage in STAGES:
        for width in stage:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
