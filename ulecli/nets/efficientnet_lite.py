"""EfficientNet-Lite0, a small net for photos that people start from.

Tan and Le, 'EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks' (2019); the Lite form
(Google, 2020) has no squeeze-and-excitation and ReLU6 in the place of swish. Layers are padded as the "same"
of TensorFlow does it, at the far edges first, since the published weights were trained so.
"""

from __future__ import annotations

from torch import Tensor, nn

from ulecli.nets.layers import check_channels

FEATURES = 1280
"""Numbers that the picture is reduced to before the classifier."""

STRIDE = 32
"""Sides of pictures must be multiples of it: only then is each "same" padding the one that stands here."""

_BLOCKS = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
"""Of each stage: number of blocks, channels, kernel, stride of the first block, and expansion."""

_STEM = 32


def efficientnet_lite0(*, channels: int, classes: int, norm: bool = True) -> nn.Sequential:
    """Build the net with freshly drawn weights.

    Args:
        channels: 1 for luma, 3 for RGB.
        classes: Number of classes.
        norm: Batch norm after each convolution; without it the convolutions have a bias, as those have that
            a batch norm was folded into.

    Returns:
        Net from (N, channels, H, W), unit scale, H and W multiples of `STRIDE`, to logits (N, classes); its
        layer `features` returns (N, `FEATURES`).

    Raises:
        UsageError: channels is neither 1 nor 3.
    """
    stem = [*_convolution(check_channels(channels), _STEM, 3, 2, norm=norm), nn.ReLU6()]
    blocks: list[nn.Module] = []
    before = _STEM
    for count, after, kernel, stride, expansion in _BLOCKS:
        for place in range(count):
            blocks.append(_Block(before, after, kernel, stride if place == 0 else 1, expansion, norm))
            before = after
    head = [*_convolution(before, FEATURES, 1, norm=norm), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    features = nn.Sequential(_Signed(), *stem, *blocks, *head)
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("classifier", nn.Linear(FEATURES, classes))
    return net


class _Signed(nn.Module):
    """Map unit-scale pixels to -1 to 1; shape (N, C, H, W) is kept."""

    def forward(self, images: Tensor) -> Tensor:
        return images * 2 - 1


class _Block(nn.Module):
    """An inverted residual block (Sandler et al., 'MobileNetV2', 2018)."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int, norm: bool) -> None:
        super().__init__()
        wide = before * expansion
        expand = [*_convolution(before, wide, 1, norm=norm), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*_convolution(wide, wide, kernel, stride, groups=wide, norm=norm), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, *_convolution(wide, after, 1, norm=norm))
        self.adds = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layers(images)
        return found + images if self.adds else found


def _convolution(
    before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, *, norm: bool
) -> list[nn.Module]:
    """Return a convolution with "same" padding and its batch norm, or its bias."""
    layers: list[nn.Module] = []
    padding = kernel // 2
    if stride > 1:
        whole = kernel - stride  # for an even side
        layers.append(nn.ZeroPad2d((whole // 2, whole - whole // 2) * 2))
        padding = 0
    layers.append(nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=not norm))
    return [*layers, nn.BatchNorm2d(after, eps=1e-3, momentum=0.01)] if norm else layers
