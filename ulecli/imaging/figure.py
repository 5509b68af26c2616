"""Pictures of a protection: the original, its perturbation, and the protected photo side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ulecli.units import LEVELS

SIDE = 480
"""Longest side of each panel, in pixels."""

_GAP = 8


def perturbation(original: Image.Image, protected: Image.Image, epsilon: int) -> Image.Image:
    """Show the difference of two RGB pictures of one size: 0.5 + delta / (2 epsilon), as in the paper.

    +epsilon is white, -epsilon black, no change middle gray (Liu et al., 'Going Grayscale').

    Args:
        original: RGB.
        protected: RGB, of the same size.
        epsilon: The bound in levels.

    Returns:
        RGB.
    """
    change = np.asarray(protected, np.int16) - np.asarray(original, np.int16)
    shown = 127.5 + change * np.float32(127.5 / epsilon)
    return Image.fromarray(np.rint(shown).clip(0, LEVELS).astype(np.uint8))


def side_by_side(rows: Sequence[tuple[Image.Image, Image.Image, int]], *, side: int = SIDE) -> Image.Image:
    """Put original, perturbation and protected photo of each row side by side, on white.

    Args:
        rows: Original (RGB), protected photo (RGB, of the same size) and epsilon in levels.
        side: Longest side of each panel, in pixels; a smaller photo keeps its size. The perturbation is taken
            from the shrunk photos: what is finer than their pixels is averaged, as it is for the eye.

    Returns:
        RGB.
    """
    panels = []
    for original, protected, epsilon in rows:
        one, other = (shrunk(picture, side) for picture in (original, protected))
        panels.append((one, perturbation(one, other, epsilon), other))
    widths = [max(row[column].width for row in panels) for column in range(3)]
    heights = [row[0].height for row in panels]
    page = Image.new("RGB", (sum(widths) + 2 * _GAP, sum(heights) + _GAP * (len(rows) - 1)), "white")
    top = 0
    for row, height in zip(panels, heights, strict=True):
        left = 0
        for panel, width in zip(row, widths, strict=True):
            page.paste(panel, (left + (width - panel.width) // 2, top))
            left += width + _GAP
        top += height + _GAP
    return page


def shrunk(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture whose longest side is at most `side` pixels, and its shortest at least one."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
