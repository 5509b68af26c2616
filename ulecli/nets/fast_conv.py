"""A convolutional net that learns CIFAR-10 in a minute: the exploiter of quick and fast evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ulecli.nets.layers import GlobalMax, Standardise, check_channels


class Whiten(nn.Conv2d):
    """A fixed 2x2 convolution to the principal components of the patches of a training set, both signs.

    (N, C, H, W) to (N, 8C, H - 1, W - 1). Only the bias learns. Until `fit` has seen the training images, the
    filters are random and orthogonal.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 8 * channels, 2)
        half = nn.init.orthogonal_(torch.empty(4 * channels, 4 * channels))
        self._set(half)

    @torch.no_grad()
    def fit(self, images: torch.Tensor, regularisation: float) -> None:
        """Take the filters from the eigenvectors of the patches' second moments, scaled to unit power.

        Gray images leave two thirds of them without any power. Those are copies of the others: batch norm
        behind them would blow up their rounding errors.

        Args:
            images: (N, C, H, W), as this layer will see them; a few thousand are plenty.
            regularisation: Added to the eigenvalues, of which the largest is about 10, so that what hardly
                varies is not blown up.
        """
        patches = nn.functional.unfold(images.double(), 2).transpose(0, 1).flatten(1)
        values, vectors = torch.linalg.eigh(patches @ patches.T / patches.shape[1])
        filters = (vectors / (values + regularisation).sqrt()).T.flip(0)
        powerful = filters[: int((values > 1e-9 * values[-1]).sum())]
        copies = -(-len(filters) // max(1, len(powerful)))
        self._set(powerful.repeat(copies, 1)[: len(filters)].to(self.weight.dtype))

    @torch.no_grad()
    def _set(self, half: torch.Tensor) -> None:
        self.weight.copy_(torch.cat([half, -half]).view(self.weight.shape))
        self.weight.requires_grad_(False)


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return ``factor * logits``."""
        return self.factor * logits


def fast_conv(*, classes: int, channels: int = 3, widths: Sequence[int] = (64, 256, 256)) -> nn.Sequential:
    """Build whitening, one stage per width (convolve, pool, convolve), global max and a linear head.

    The plan of Keller Jordan's '94% on CIFAR-10 in 3.29 Seconds on a Single GPU' (2024): identity-like first
    weights, batch norm without scale, GELU, damped logits. Here the last pooling is global, so that pictures
    of any size do.

    Args:
        classes: Number of classes.
        channels: 1 for luma, 3 for RGB.
        widths: Channels of each stage; each halves the sides.

    Returns:
        Net from (N, channels, H, W), unit scale, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    layers: list[nn.Module] = [Standardise(), Whiten(check_channels(channels)), nn.GELU()]
    before = 8 * channels
    for width in widths:
        layers += [_convolution(before, width), nn.MaxPool2d(2), _norm(width), nn.GELU()]
        layers += [_convolution(width, width), _norm(width), nn.GELU()]
        before = width
    return nn.Sequential(*layers, GlobalMax(), nn.Linear(before, classes, bias=False), Scale(1 / 9))


def _convolution(before: int, after: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(before, after)])
    return layer


def _norm(width: int) -> nn.BatchNorm2d:
    # Quick averages follow a training of a few hundred steps; the bias alone learns, at a rate of its own.
    layer = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer
