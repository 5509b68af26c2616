"""Nets without convolutions: the paper's fast surrogates (Table 6) and the simplest one of all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ulecli.nets.layers import Standardise, check_channels


def mlp(*, channels: int, classes: int, size: int = 32, hidden: Sequence[int] = (256, 128)) -> nn.Sequential:
    """Build a multi-layer perceptron on all pixels, with ReLU and no final sigmoid.

    The published code ends with one; it bounds the cross-entropy below by 1.46 and so starves the
    perturbation of gradient.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes or codes.
        size: Side of the square images, in pixels.
        hidden: Units of each hidden layer; the paper's MLP has (256, 128).

    Returns:
        Net from (N, channels, size, size), unit scale, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    layers: list[nn.Module] = [Standardise(), nn.Flatten()]
    before = check_channels(channels) * size * size
    for units in hidden:
        layers += [nn.Linear(before, units), nn.ReLU()]
        before = units
    return nn.Sequential(*layers, nn.Linear(before, classes))


def linear(*, channels: int, classes: int, size: int = 32) -> nn.Sequential:
    """Build multinomial logistic regression on all pixels: an `mlp` without hidden layers."""
    return mlp(channels=channels, classes=classes, size=size, hidden=())
