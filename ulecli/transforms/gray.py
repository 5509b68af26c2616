"""Gray: the ITU-R 601 luma, once for gradients and once exactly as files are converted."""

from __future__ import annotations

import torch
from torch import Tensor

from ulecli.transforms.quantise import check_images, check_levels
from ulecli.units import LUMA


def gray(images: Tensor) -> Tensor:
    """Reduce RGB to luma: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Written around G, the weights sum to 1 exactly in every dtype: a picture without colour is its own luma,
    bit by bit. (torchvision's tensor version takes 0.2989 for R and so darkens a little at every pass.)

    Args:
        images: (N, 1 or 3, H, W) floating point, unit scale.

    Returns:
        (N, 1, H, W) unit scale; one channel comes back as it is.

    Raises:
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    check_images(images)
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)


def gray_adjoint(gradients: Tensor) -> Tensor:
    """Carry gradients at gray images that have the channels of the coloured ones back to those.

    Args:
        gradients: (N, 1 or 3, H, W) floating point.

    Returns:
        Of the same shape: the sum over the channels, shared out by the weights of luma.
    """
    if gradients.shape[1] == 1:
        return gradients
    return gradients.sum(1, keepdim=True) * gradients.new_tensor(LUMA)[:, None, None]


def gray_levels(levels: Tensor) -> Tensor:
    """Convert stored RGB to gray exactly as Pillow's ``convert("L")``, repeated to three channels.

    That is what torchvision's Grayscale(3) makes of a photo. Pillow's fixed-point weights have 16 fraction
    bits (`L24` in its Convert.c) and round half up.

    Args:
        levels: (N, 1 or 3, H, W) uint8.

    Returns:
        (N, 3, H, W) uint8; an expanded view, to be copied before writing into it.

    Raises:
        ValueError: levels are not uint8 (N, C, H, W) with C of 1 or 3.
    """
    check_levels(levels)
    if levels.shape[1] == 3:
        wide = levels.to(torch.int32)
        red, green, blue = wide[:, 0:1], wide[:, 1:2], wide[:, 2:3]
        luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
        levels = luma.to(torch.uint8)
    return levels.expand(-1, 3, -1, -1)
