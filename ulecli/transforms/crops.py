"""Padded random crops and mirror images of a whole batch by one lookup: the augmentation of CIFAR-10."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 5000
"""Images padded at a time, which limits the memory."""


def padded(levels: Tensor, pixels: int, edge: Literal["constant", "reflect"] = "constant") -> Tensor:
    """Pad stored images on every side, once for all their crops.

    Args:
        levels: (N, 3, H, W) uint8.
        pixels: Width P of the border.
        edge: What it shows: black, or the picture mirrored.

    Returns:
        (N, H + 2 P, W + 2 P, 3) uint8, so that all channels of a pixel lie together.
    """
    parts = torch.split(levels, _CHUNK)
    wide = [functional.pad(part.float(), (pixels,) * 4, edge).byte() for part in parts]
    return torch.cat(wide).permute(0, 2, 3, 1).contiguous()


def cropped(
    stored: Tensor, chosen: Tensor, side: tuple[int, int], down: Tensor, right: Tensor, mirrored: Tensor
) -> Tensor:
    """Return a crop of each chosen image.

    Args:
        stored: (N, H, W, 3) uint8, as `padded` returns them.
        chosen: (B,) int64, which images.
        side: Height h and width w of the crops.
        down: (B,) int64, the first row of each crop.
        right: (B,) int64, its first column.
        mirrored: (B,) bool, whether it is mirrored left to right.

    Returns:
        (B, 3, h, w) uint8, channels last in memory; all arguments and the result are on one device.
    """
    height, width = side
    rows = down[:, None] + torch.arange(height, device=down.device)
    columns = torch.arange(width, device=down.device).expand(len(right), -1)
    columns = right[:, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    return stored[chosen[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
