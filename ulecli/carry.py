"""The carry: from a full-size picture to the small working image, and from a small delta to full size.

Full-size arithmetic is done in uint8, channel by channel, in horizontal bands that stay in the processor's
cache, and in place. That is several times faster than arrays of a whole picture: fetching fresh memory for
one costs more than the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from ulecli.units import LEVELS

_ZERO = 128
"""The level that stands for delta 0 where a delta travels as an 8-bit picture."""

_BAND_PIXELS = 256 * 1024
_FIELD_ROWS = 512
_STEPS_PER_CELL = 4
"""Rows that a delta and the height of each of its cells are interpolated in, at least; every such row is then
used for several of the picture's, which no eye tells at a change of a few levels."""


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
    """Squeeze a picture to the square that the perturbation is computed on.

    Args:
        image: RGB, RGBA (whose opacity is not looked at) or YCbCr, any size.
        grid: Side S of the working image.

    Returns:
        (3, S, S) RGB, unit scale.
    """
    if image.mode == "RGBA":  # as a whole it would be copied, and its colours weighed by the opacity
        small = Image.merge("RGB", [_squeezed(image.getchannel(name), grid) for name in "RGB"])
    else:
        small = _squeezed(image, grid).convert("RGB")
    planes = np.asarray(small).transpose(2, 0, 1)
    return np.ascontiguousarray(planes, np.float32) / np.float32(LEVELS)


def _squeezed(image: Image.Image, grid: int) -> Image.Image:
    return image.resize((grid, grid), Image.Resampling.BILINEAR, reducing_gap=2.0)


def add_delta(image: Image.Image, delta: NDArray[np.int8], alpha: Image.Image | None = None) -> Difference:
    """Carry a small delta to full size and add it to a picture in place, saturating at black and white.

    The delta is interpolated bilinearly and rounded to whole levels, so no value leaves the range that the
    grid spans: a delta within +-epsilon changes no channel by more than epsilon. One value tied across RGB is
    added to each channel of RGB, or to the luma of YCbCr alone: that is the same wherever no colour
    saturates, and less where one does, since R, G and B are each the luma plus what only the chroma decides.

    Args:
        image: RGB, RGBA or YCbCr, any size; modified.
        delta: (1, S, S) for one luma value tied across RGB, or (3, S, S), not for YCbCr; levels, -127 to 127.
        alpha: (L) opacity of the same size; where it is 0 the picture keeps its hidden colours.

    Returns:
        How far the channels that were added to have moved, measured.
    """
    assert len(delta) == 1 or image.mode != "YCbCr"
    width, height = image.size
    moved = 1 if image.mode == "YCbCr" else 3
    repeat = max(1, height // max(_FIELD_ROWS, delta.shape[1] * _STEPS_PER_CELL))
    fields = [_stretch(plane, width, math.ceil(height / repeat)) for plane in delta]
    steps = max(1, _BAND_PIXELS // (width * repeat))
    max_change, squares = 0, 0.0
    for first in range(0, len(fields[0]), steps):
        shifts = [field[first : first + steps, None] for field in fields]
        top = first * repeat
        # The last band may reach beyond the picture, where Pillow pads with black and cuts off the sum.
        box = (0, top, width, top + len(shifts[0]) * repeat)
        band = image.crop(box)
        hidden = None if alpha is None else np.asarray(alpha.crop(box)) == 0
        for index in range(moved):
            old = np.asarray(band.getchannel(index))
            new = _add(old.reshape(-1, repeat, width), shifts[index % len(shifts)]).reshape(old.shape)
            if hidden is not None:
                new[hidden] = old[hidden]
            band.im.putband(Image.fromarray(new).im, index)  # `merge` would copy the other channels too
            largest, sum_of_squares = _change(old[: height - top], new[: height - top])
            max_change, squares = max(max_change, largest), squares + sum_of_squares
        image.paste(band, (0, top))
    return Difference(max_change, _psnr(squares / (moved * width * height)))


def difference(one: Image.Image | BinaryIO, other: Image.Image) -> Difference:
    """Compare two RGB or RGBA pictures of one size, exactly: colours in whole levels, without rounding.

    Args:
        one: A picture, or one that was set aside.
        other: A picture.
    """
    counts = np.zeros(256, np.int64)
    for box in _bands(other.size):
        band = other.crop(box).convert("RGB")
        gaps = ImageChops.difference(_band_of(one, box, band.size), band)
        counts += np.asarray(gaps.histogram(), np.int64).reshape(3, 256).sum(axis=0)
    mean_square = float(counts @ np.arange(256, dtype=np.int64) ** 2) / float(counts.sum())
    return Difference(int(counts.nonzero()[0].max()), _psnr(mean_square))


def set_aside(image: Image.Image, folder: Path) -> BinaryIO:
    """Put the colours of a large picture into a nameless file, so that its memory is free for another.

    Args:
        image: RGB or RGBA.
        folder: On a disk with 3 bytes to spare for each pixel.

    Returns:
        The file, at its start, for one call of `difference`; whoever closes it removes it.

    Raises:
        OSError: There is no room.
    """
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    for box in _bands(image.size):
        file.write(image.crop(box).convert("RGB").tobytes())
    file.seek(0)
    return file


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _band_of(
    picture: Image.Image | BinaryIO, box: tuple[int, int, int, int], size: tuple[int, int]
) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.crop(box).convert("RGB")
    return Image.frombytes("RGB", size, picture.read(3 * size[0] * size[1]))


def _psnr(mean_square: float) -> float:
    return 10 * math.log10(LEVELS**2 / mean_square) if mean_square else math.inf


def _stretch(plane: NDArray[np.int8], width: int, height: int) -> NDArray[np.uint8]:
    """Interpolate one channel of a delta to (height, width) levels in which `_ZERO` stands for 0."""
    levels = Image.fromarray((plane.astype(np.int16) + _ZERO).astype(np.uint8))
    return np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))


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


def _change(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> tuple[int, float]:
    """Return the largest change and the sum of the squares of all changes."""
    change = np.subtract(new, old).view(np.int8)  # no delta is beyond -127 to 127
    flat = change.ravel().astype(np.float32)
    # Not a dot product: that may start threads of its own, which would take the cores from other photos.
    return max(int(change.max()), -int(change.min())), float(np.einsum("i,i->", flat, flat))
