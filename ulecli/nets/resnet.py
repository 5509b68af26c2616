"""ResNet-18 for small pictures, the net of most published results on unlearnable examples."""

from __future__ import annotations

import torch
from torch import nn

from ulecli.nets.layers import check_channels


class Residual(nn.Module):
    """Two 3x3 convolutions and a way around them: (N, before, H, W) to (N, after, H / stride, W / stride)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_convolution(before, after, 3, stride), nn.ReLU(), *_convolution(after, after, 3)
        )
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(before, after, 1, stride))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return ``relu(branch(features) + shortcut(features))``."""
        return torch.relu(self.branch(features) + self.shortcut(features))


def resnet18(*, channels: int, classes: int, width: int = 64) -> nn.Sequential:
    """Build the CIFAR form of ResNet-18 (He et al., 'Deep Residual Learning for Image Recognition', 2016).

    The stem is one 3x3 convolution without pooling; four stages of two blocks follow, and an average over all
    positions. 11,173,962 parameters for RGB and 10 classes, as in the published protocols, which do not
    normalise the pixels either.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes.
        width: Channels of the first stage; each further stage has twice as many.

    Returns:
        Net from (N, channels, H, W), unit scale, any size, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    layers: list[nn.Module] = [*_convolution(check_channels(channels), width, 3), nn.ReLU()]
    before = width
    for stage in range(4):
        after = width * 2**stage
        layers += [Residual(before, after, 1 if stage == 0 else 2), Residual(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def _convolution(before: int, after: int, side: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, side, stride, side // 2, bias=False), nn.BatchNorm2d(after)
