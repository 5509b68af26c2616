"""Rounding to what a file can hold: 256 levels, or the few that posterising leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from ulecli.errors import UsageError
from ulecli.units import LEVELS


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of images; the range is not looked at, which would stall a GPU.

    Raises:
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, C, H, W) with C of 1 or 3")
    if not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype}; expected floating point on the unit scale: levels / 255"
        )


def check_levels(levels: Tensor) -> None:
    """Refuse what is not a batch of stored images.

    Raises:
        ValueError: levels are not uint8 (N, C, H, W) with C of 1 or 3.
    """
    if levels.ndim != 4 or levels.shape[1] not in (1, 3):
        raise ValueError(f"levels have shape {tuple(levels.shape)}; expected (N, C, H, W) with C of 1 or 3")
    if levels.dtype != torch.uint8:
        raise ValueError(f"levels are {levels.dtype}; expected torch.uint8, 0 to 255")


def whole_levels(images: Tensor) -> Tensor:
    """Convert to whole levels.

    Args:
        images: (N, C, H, W) floating point, unit scale; what lies outside is clamped, as in a file.

    Returns:
        (N, C, H, W) whole numbers, 0 to 255, of the dtype of `images`.

    Raises:
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    check_images(images)
    return (images * LEVELS).round().clamp(0, LEVELS)


def posterize(images: Tensor, bits: int) -> Tensor:
    """Keep the top bits of every level.

    The value is that of Pillow's ImageOps.posterize, which torchvision's RandomPosterize applies too. With 2
    bits it is the bit depth reduction (BDR) of Liu et al., 'Image Shortcut Squeezing' (2023).

    Args:
        images: (N, C, H, W) floating point, unit scale; rounded to levels first.
        bits: Bits to keep, 1 to 8.

    Returns:
        (N, C, H, W) unit scale.

    Raises:
        UsageError: bits is not within 1 to 8.
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    step = _step(bits)
    return (whole_levels(images) / step).floor() * step / LEVELS


def posterize_levels(levels: Tensor, bits: int) -> Tensor:
    """Keep the top bits of every stored level, exactly as Pillow's ImageOps.posterize.

    Args:
        levels: (N, C, H, W) uint8.
        bits: Bits to keep, 1 to 8.

    Returns:
        (N, C, H, W) uint8.

    Raises:
        UsageError: bits is not within 1 to 8.
        ValueError: levels are not uint8 (N, C, H, W) with C of 1 or 3.
    """
    check_levels(levels)
    return levels & (LEVELS + 1 - _step(bits))


def _step(bits: int) -> int:
    """Return how many levels become one."""
    if not 1 <= bits <= 8:
        raise UsageError(f"posterising to {bits} bits per channel is impossible; choose 1 to 8")
    return 1 << (8 - bits)
