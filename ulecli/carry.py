"""The carry: from a full-size picture to the small working image, and from a small delta to full size.

Full-size arithmetic is done in uint8, in horizontal bands that stay in the processor's cache. That is
several times faster than arrays of a whole picture, whose memory alone costs more than the sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from ulecli.units import LEVELS

_ZERO = 128
"""The level that stands for delta 0 where a delta travels as an 8-bit picture."""

_BAND_BYTES = 512 * 1024
_STEPS_PER_CELL = 8
"""Rows that a cell's height is interpolated in; more is not seen, since a delta has whole levels."""


@dataclass(frozen=True)
class Carried:
    """A picture with its delta.

    Attributes:
        image: RGB, of the size of the original.
        max_change: Largest change of any channel of any pixel, in levels, measured.
    """

    image: Image.Image
    max_change: int


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart.

    Attributes:
        max_change: Largest difference of any channel of any pixel, in levels.
        psnr_db: Peak signal-to-noise ratio in dB; infinite for equal pictures.
    """

    max_change: int
    psnr_db: float


def working_image(image: Image.Image, grid: int) -> NDArray[np.float32]:
    """Squeeze an RGB picture to the square that the perturbation is computed on.

    Args:
        image: RGB, any size.
        grid: Side S of the working image.

    Returns:
        (3, S, S) RGB, unit scale.
    """
    small = image.resize((grid, grid), Image.Resampling.BILINEAR, reducing_gap=2.0)
    planes = np.asarray(small).transpose(2, 0, 1)
    return np.ascontiguousarray(planes, np.float32) / np.float32(LEVELS)


def add_delta(image: Image.Image, delta: NDArray[np.int8], alpha: Image.Image | None = None) -> Carried:
    """Carry a small delta to full size and add it, saturating at black and white.

    The delta is interpolated bilinearly and rounded to whole levels, so no value leaves the range that the
    grid spans: a delta within +-epsilon changes no channel by more than epsilon.

    Args:
        image: RGB, any size; not modified.
        delta: (1, S, S) for one luma value tied across RGB, or (3, S, S); levels, -127 to 127.
        alpha: (L) opacity of the same size; where it is 0 the picture keeps its hidden colours.

    Returns:
        The sum and its largest change.
    """
    width, height = image.size
    repeat = max(1, height // (delta.shape[1] * _STEPS_PER_CELL))
    field = _stretch(delta, width, math.ceil(height / repeat))
    result = Image.new("RGB", image.size, None)  # None: every pixel is pasted below
    max_change = 0
    steps = max(1, _BAND_BYTES // (3 * width * repeat))
    for first in range(0, field.height, steps):
        last = min(first + steps, field.height)
        rows = slice(first * repeat, min(last * repeat, height))
        box = (0, rows.start, width, rows.stop)
        # The crop may reach beyond the last row, where Pillow pads with black; the sum of that is cut off.
        pixels = np.asarray(image.crop((0, rows.start, width, last * repeat)))
        shifts = _shifts(field.crop((0, first, width, last)))
        changed = _add(pixels.reshape(last - first, repeat, 3 * width), shifts).reshape(pixels.shape)
        pixels, changed = pixels[: rows.stop - rows.start], changed[: rows.stop - rows.start]
        if alpha is not None:
            hidden = np.asarray(alpha.crop(box)) == 0
            changed[hidden] = pixels[hidden]
        max_change = max(max_change, _max_change(pixels, changed))
        result.paste(Image.fromarray(changed), box)
    return Carried(result, max_change)


def difference(one: Image.Image, other: Image.Image) -> Difference:
    """Compare two RGB pictures of one size, exactly: in whole levels, without rounding."""
    width, height = one.size
    counts = np.zeros(256, np.int64)
    rows = max(1, _BAND_BYTES // (3 * width))
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        gaps = ImageChops.difference(one.crop(box), other.crop(box))
        counts += np.asarray(gaps.histogram(), np.int64).reshape(3, 256).sum(axis=0)
    mean_square = float(counts @ np.arange(256, dtype=np.int64) ** 2) / float(counts.sum())
    psnr_db = 10 * math.log10(LEVELS**2 / mean_square) if mean_square else math.inf
    return Difference(int(counts.nonzero()[0].max()), psnr_db)


def _stretch(delta: NDArray[np.int8], width: int, height: int) -> Image.Image:
    """Interpolate a delta (1 or 3, S, S) to an 8-bit picture, L or RGB, in which `_ZERO` stands for 0."""
    levels = (delta.astype(np.int16) + _ZERO).astype(np.uint8)
    planes = levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0))
    return Image.fromarray(planes).resize((width, height), Image.Resampling.BILINEAR)


def _shifts(field: Image.Image) -> NDArray[np.uint8]:
    """Return (rows, 1, 3 W): the levels of a stretched delta for interleaved RGB, `_ZERO` standing for 0."""
    band = np.asarray(field)
    if band.ndim == 2:
        band = np.stack((band, band, band), axis=-1)
    shifts: NDArray[np.uint8] = band.reshape(len(band), 1, -1)
    return shifts


def _add(pixels: NDArray[np.uint8], shifts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return clip(pixels + shifts - 128, 0, 255) without leaving uint8; `shifts` may broadcast.

    Where the sum would saturate the pixel is first moved to where it just does not; then adding modulo 256
    can't wrap round.
    """
    lowest = _ZERO - np.minimum(shifts, _ZERO)  # what a negative delta takes away
    highest = (LEVELS - _ZERO) - np.maximum(shifts, _ZERO)  # 255 less what a positive delta adds, modulo 256
    total: NDArray[np.uint8] = np.maximum(pixels, lowest)
    np.minimum(total, highest, out=total)
    total += shifts ^ _ZERO  # the same as shifts - 128, modulo 256
    return total


def _max_change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    change = np.maximum(one, other)
    change -= np.minimum(one, other)
    return int(change.max())
