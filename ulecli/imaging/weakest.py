"""Where a change is seen most: the window of a picture that is least like the original."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.imaging.figure import shrunk
from ulecli.imaging.ssim import ssim_map
from ulecli.imaging.visibility import SCREEN_SIDE

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are the first beyond it."""


def weakest_window(before: Image.Image, after: Image.Image, side: int) -> Box:
    """Return the window in which two pictures are least alike, by mean SSIM at the size a screen shows.

    Args:
        before: RGB.
        after: RGB, of the same size.
        side: Of the window in pixels of the pictures; the window ends where a picture is shorter.
    """
    similar = ssim_map(shrunk(before, SCREEN_SIDE), shrunk(after, SCREEN_SIDE))
    scale = max(before.size) / max(similar.shape)
    height, width = (max(1, min(length, round(side / scale))) for length in similar.shape)
    means = _window_means(similar, height, width)
    top, left = np.unravel_index(int(means.argmin()), means.shape)
    left, top = (
        max(0, min(round(place * scale), length - side))
        for place, length in ((left, before.width), (top, before.height))
    )
    return left, top, min(left + side, before.width), min(top + side, before.height)


def _window_means(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Return the mean of every window of a size that lies within a plane, by the corners of running sums."""
    sums = np.pad(plane.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inner = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return np.asarray(inner / (height * width))
