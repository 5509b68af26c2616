"""Where a change is seen most: the window of a picture that is least like the original."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are the first beyond it."""


def weakest_window(similar: NDArray[np.float32], size: tuple[int, int], side: int) -> Box:
    """Return the window of a photo that is least like the original.

    Args:
        similar: (H, W): how like the original the photo is around each pixel of it or of a smaller copy; in
            any unit, more is more alike.
        size: Width and height of the photo itself, in pixels.
        side: Of the window in pixels of the photo; the window ends where the photo is shorter.
    """
    scale = max(size) / max(similar.shape)
    height, width = (max(1, min(length, round(side / scale))) for length in similar.shape)
    means = _window_means(similar, height, width)
    top, left = np.unravel_index(int(means.argmin()), means.shape)
    left, top = (
        max(0, min(round(place * scale), length - side))
        for place, length in ((left, size[0]), (top, size[1]))
    )
    return left, top, min(left + side, size[0]), min(top + side, size[1])


def _window_means(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Return the mean of every window of a size that lies within a plane, by the corners of running sums."""
    sums = np.pad(plane.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inner = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return np.asarray(inner / (height * width))
