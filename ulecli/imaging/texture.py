"""How far each part of a picture may be changed: little where it is smooth, more where it has texture.

The eye misses a faint pattern on a pattern of about the same size and sees it on an even ground. So what
counts is the contrast of the picture within windows of about the size of what a delta draws, not that of
single pixels: grain and noise, which a smooth dark wall has too, are averaged away before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.imaging.strength import Strength

CELLS = 128
"""Side of the square grid of parts, unless another one is asked for."""

FLOOR = 0.25
"""The weight where there is no texture at all."""

AMPLITUDES: Mapping[Strength, float] = MappingProxyType(
    {Strength.SUBTLE: 2.0, Strength.DEFAULT: 3.8, Strength.STRONG: 6.0}
)
"""Levels that a picture may be changed by where it has texture."""

SMOOTH = 1.0
FULL = 10.0
"""Contrasts, in levels, up to which the weight is `FLOOR` and from which on it is 1."""

_WINDOW = 4
_TEXELS = 2
_SAMPLES = 4
"""Cells along a window, measured texels along a cell, and pixels looked at along a cell."""

Floats = NDArray[np.float32]


def amplitudes(image: Image.Image, cells: int, strength: Strength, epsilon: int) -> Floats:
    """Return how far each part of a picture may be changed.

    Args:
        image: RGB, RGBX or RGBA (whose opacity is not looked at), any size.
        cells: Side of the square grid of parts, 4 or more: the side of a window.
        strength: How visible the change may be.
        epsilon: L-infinity bound in levels, which holds whatever the strength.

    Returns:
        (1, cells, cells) levels, above 0 and at most epsilon.
    """
    levels = texture_weights(image, cells) * np.float32(AMPLITUDES[strength])
    bounded: Floats = np.minimum(levels, np.float32(epsilon))[None]
    return bounded


def texture_weights(image: Image.Image, cells: int = CELLS, floor: float = FLOOR) -> Floats:
    """Return how much of a delta each part of a picture hides.

    The weight rises linearly with `contrast`, from the floor at `SMOOTH` to 1 at `FULL`.

    Args:
        image: RGB, RGBX or RGBA (whose opacity is not looked at), any size.
        cells: Side of the square grid of parts, 4 or more: the side of a window.
        floor: The weight where there is no texture at all, 0 to 1.

    Returns:
        (cells, cells), floor to 1.
    """
    rise = np.clip((contrast(image, cells) - SMOOTH) / (FULL - SMOOTH), 0, 1)
    weights: Floats = (floor + (1 - floor) * rise).astype(np.float32)
    return weights


def contrast(image: Image.Image, cells: int = CELLS) -> Floats:
    """Measure the texture around every part of a picture.

    Args:
        image: RGB, RGBX or RGBA, any size.
        cells: Side of the square grid of parts, 4 or more: the side of a window.

    Returns:
        (cells, cells): the least standard deviation of the luma, in levels, of all windows that a cell lies
        in. The least, so that a sky counts as smooth up to the edge of a roof.
    """
    # Only the pixels looked at are fetched: to average all of a camera's photo takes as long as to add to it.
    side = cells * _SAMPLES
    luma = image.resize((side, side), Image.Resampling.NEAREST).convert("L").reduce(_SAMPLES // _TEXELS)
    texels = np.asarray(luma, np.float32)
    count = (_WINDOW * _TEXELS) ** 2
    mean = _slide(_gathered(texels), np.add) / count
    square = _slide(_gathered(np.square(texels)), np.add) / count
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0))
    return _slide(np.pad(deviation, _WINDOW - 1, constant_values=np.inf), np.minimum)


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
