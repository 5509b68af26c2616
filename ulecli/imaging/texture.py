"""The amplitude mask by texture: less of a delta where a picture is smooth, all of it where it has texture.

The eye misses a faint pattern on a pattern of about the same size and sees it on an even ground. So what
counts is the contrast of the picture within windows of about the size of what a delta draws, not that of
single pixels: grain and noise, which a smooth dark wall has too, are averaged away before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELLS = 128
"""Side of the square grid of weights: two cells for each of the default surrogate's."""

FLOOR = 0.4
"""The weight where there is no texture at all."""

SMOOTH = 1.0
FULL = 10.0
"""Contrasts, in levels, up to which the weight is `FLOOR` and from which on it is 1."""

_WINDOW = 4
_TEXELS = 2
_SAMPLES = 4
"""Cells along a window, measured texels along a cell, and pixels looked at along a cell."""

Floats = NDArray[np.float32]


def texture_weights(image: Image.Image, floor: float = FLOOR) -> Floats:
    """Return how much of a delta each part of a picture hides.

    The weight rises linearly with `contrast`, from the floor at `SMOOTH` to 1 at `FULL`.

    Args:
        image: RGB, RGBX or RGBA (whose opacity is not looked at), any size.
        floor: The weight where there is no texture at all, 0 to 1.

    Returns:
        (CELLS, CELLS), floor to 1.
    """
    rise = np.clip((contrast(image) - SMOOTH) / (FULL - SMOOTH), 0, 1)
    weights: Floats = (floor + (1 - floor) * rise).astype(np.float32)
    return weights


def contrast(image: Image.Image) -> Floats:
    """Measure the texture around every part of a picture.

    Args:
        image: RGB, RGBX or RGBA, any size.

    Returns:
        (CELLS, CELLS): the least standard deviation of the luma, in levels, of all windows that a cell lies
        in. The least, so that a sky counts as smooth up to the edge of a roof.
    """
    # Only the pixels looked at are fetched: to average all of a camera's photo takes as long as to add to it.
    side = CELLS * _SAMPLES
    luma = image.resize((side, side), Image.Resampling.NEAREST).convert("L").reduce(_SAMPLES // _TEXELS)
    texels = np.asarray(luma, np.float32)
    count = (_WINDOW * _TEXELS) ** 2
    mean = _slide(_gathered(texels), np.add) / count
    square = _slide(_gathered(np.square(texels)), np.add) / count
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0))
    return _slide(np.pad(deviation, _WINDOW - 1, constant_values=np.inf), np.minimum)


def masked(delta: NDArray[np.int8], weights: Floats) -> NDArray[np.int8]:
    """Weigh a delta.

    Args:
        delta: (C, S, S) levels.
        weights: (T, T), 0 to 1.

    Returns:
        (C, T, T) levels, none further from 0 than the largest of `delta`: interpolated to the finer grid,
        multiplied, and rounded.
    """
    size = weights.shape[::-1]
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in delta]
    fine = np.stack([np.asarray(plane.resize(size, Image.Resampling.BILINEAR)) for plane in planes])
    kept: NDArray[np.int8] = np.rint(fine * weights).astype(np.int8)
    return kept


def _gathered(texels: Floats) -> Floats:
    """Sum the texels of each cell."""
    rows: Floats = sum((texels[start::_TEXELS] for start in range(1, _TEXELS)), texels[::_TEXELS])
    return sum((rows[:, start::_TEXELS] for start in range(1, _TEXELS)), rows[:, ::_TEXELS])


def _slide(values: Floats, combine: Callable[[Floats, Floats], Floats]) -> Floats:
    """Combine the values of every window that fits into a square array."""
    for _ in range(2):
        rows = len(values) - _WINDOW + 1
        total = values[:rows]
        for step in range(1, _WINDOW):
            total = combine(total, values[step : step + rows])
        values = total.T
    return values
