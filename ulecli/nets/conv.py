"""A small VGG-like convolutional net, the surrogate for photos."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ulecli.nets.layers import GlobalMax, Standardise, check_channels


def conv(
    *, channels: int, classes: int, stem: int = 16, widths: Sequence[int] = (16, 32, 64), halved: bool = False
) -> nn.Sequential:
    """Build stem, one stage of two 3x3 convolutions per width with 2x2 max pooling, global max, linear head.

    Global max pooling asks whether a cue is anywhere in the picture, so it survives crops; it also lets the
    net see pictures of any size whose sides are multiples of ``2 ** len(widths)``, twice that if `halved`.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes or codes.
        stem: Channels of the first convolution.
        widths: Channels of each stage.
        halved: The stem looks at 4x4 pixels in steps of two, so that all stages work at half the size, which
            costs a third for the same widths without the first one, where most of the time goes.

    Returns:
        Net from (N, channels, H, W), unit scale, to logits (N, classes).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    first = _convolution(check_channels(channels), stem, *((4, 2) if halved else ()))
    layers: list[nn.Module] = [Standardise(), *first, nn.ReLU()]
    before = stem
    for width in widths:
        # Pooling before the ReLU gives the same values and leaves a quarter of them to rectify.
        layers += [*_convolution(before, width), nn.MaxPool2d(2), nn.ReLU()]
        layers += [*_convolution(width, width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, GlobalMax(), nn.Linear(before, classes))


def _convolution(before: int, after: int, side: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    # Batch norm follows at once, so that both fold into one convolution.
    return nn.Conv2d(before, after, side, stride, padding=1, bias=False), nn.BatchNorm2d(after)
