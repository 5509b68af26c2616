"""Delta between two sizes: a picture to the small working image, and a small delta to full size and added.

Full-size arithmetic is done in uint8, in horizontal bands that stay in the processor's cache, and in place;
of a picture whose memory is an array, without any copy. That is several times faster than arrays of a whole
picture: fetching fresh memory for one costs more than the sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.imaging.difference import Difference, psnr
from ulecli.units import LEVELS

_ZERO = 128
"""The level that stands for delta 0 where a delta travels as an 8-bit picture."""

SMALLEST_GRID = 16
"""Side in cells that the smallest photos are squeezed to, since texture is measured in windows of some."""

_BAND_BYTES = 512 * 1024
_CELL_ROWS = 16
"""Rows of the picture that a cell of the working image is the mean of, at least, where there are as many."""
_FIELD_ROWS = 640
_STEPS_PER_CELL = 4
"""Rows that a delta and the height of each of its cells are interpolated in, at least; every such row is then
used for several of the picture's. From one to the next a delta of the default surrogate at epsilon 8 moves by
no more than 1.6 levels; with 384 rows, where it is 2.7, fine lines showed on snow at full size."""


def fitting_grid(size: tuple[int, int], grid: int) -> int:
    """Return the side in cells of the working image of a picture.

    Cells finer than the pixels would lose most of their delta when it is resized.

    Args:
        size: Width and height in pixels.
        grid: The side that it has at most.

    Returns:
        The shorter side, but no less than `SMALLEST_GRID` and no more than `grid`.
    """
    return min(grid, max(SMALLEST_GRID, min(size)))


def working_image(
    image: Image.Image, grid: int, pixels: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """Squeeze a picture to the square that the perturbation is computed on.

    Args:
        image: RGB, RGBX or RGBA (whose opacity is not looked at), any size.
        grid: Side S of the working image.
        pixels: (H, W, 4) the memory of the picture, if it is at hand: then no more rows are read than needed.

    Returns:
        (3, S, S) RGB, unit scale.
    """
    if pixels is not None:
        image = _some_rows(pixels, max(1, image.height // (grid * _CELL_ROWS)))
    if image.mode == "RGBA":  # as a whole it would be copied, and its colours weighed by the opacity
        small = Image.merge("RGB", [_squeezed(image.getchannel(name), grid) for name in "RGB"])
    else:
        small = _squeezed(image, grid).convert("RGB")
    planes = np.asarray(small).transpose(2, 0, 1)
    return np.ascontiguousarray(planes, np.float32) / np.float32(LEVELS)


def _some_rows(pixels: NDArray[np.uint8], step: int) -> Image.Image:
    """Show the middle one of each `step` rows of a picture, without a copy."""
    rows = pixels[step // 2 :]
    size = (pixels.shape[1], len(rows) // step)
    return Image.frombuffer("RGBX", size, rows, "raw", "RGBX", 4 * size[0] * step, 1)


def _squeezed(image: Image.Image, grid: int) -> Image.Image:
    return image.resize((grid, grid), Image.Resampling.BILINEAR, reducing_gap=2.0)


def add_delta(
    image: Image.Image, delta: NDArray[np.int8], pixels: NDArray[np.uint8] | None = None
) -> Difference:
    """Resize a small delta to full size and add it to a picture in place, saturating at black and white.

    The delta is interpolated bilinearly and rounded to whole levels, so no value leaves the range that the
    grid spans: a delta within +-epsilon changes no channel by more than epsilon. What is hidden under an
    opacity of 0 is left alone.

    Args:
        image: RGB, RGBX or RGBA, any size; modified.
        delta: (1, S, S) for one luma value tied across RGB, or (3, S, S); levels, -127 to 127.
        pixels: (H, W, 4) the memory of the picture, if it is at hand: then nothing is copied.

    Returns:
        How far the channels are moved that do not saturate. Where one does it moves less, so the picture's
        own largest change is at most this, and its PSNR at least. No change at all if no pixel changed.
    """
    width, height = image.size
    repeat = max(1, height // max(_FIELD_ROWS, delta.shape[1] * _STEPS_PER_CELL))
    fields = [_stretch(plane, width, math.ceil(height / repeat)) for plane in delta]
    steps = max(1, _BAND_BYTES // (4 * width * repeat))
    changed = False  # one band is enough as a rule; the others are not compared then
    for first in range(0, len(fields[0]), steps):
        moves = _moves([field[first : first + steps] for field in fields])
        top, end = first * repeat, min(height, (first + steps) * repeat)
        if pixels is None:
            changed = _add_to_copy(image, (0, top, width, end), moves, repeat) or changed
        else:
            before = None if changed else pixels[top:end].copy()
            _add(pixels[top:end], moves, repeat)
            changed = before is None or not np.array_equal(before, pixels[top:end])
    return _reach(fields, repeat, height) if changed else Difference(0, math.inf)


def _add_to_copy(image: Image.Image, box: tuple[int, int, int, int], moves: _Moves, repeat: int) -> bool:
    """Add to a part of a picture whose memory is out of reach; return whether a pixel changed."""
    band = image.crop(box)
    part = np.array(band if band.mode == "RGBA" else band.convert("RGBX"))
    hidden = part[..., 3] == 0 if band.mode == "RGBA" else None
    before = part.copy()
    _add(part, moves, repeat)
    if hidden is not None:
        part[hidden] = before[hidden]
    mode = "RGBX" if hidden is None else "RGBA"
    added = Image.frombuffer(mode, band.size, part, "raw", mode, 0, 1)
    image.paste(added if mode == image.mode else added.convert(image.mode), box)
    return not np.array_equal(before, part)


def _stretch(plane: NDArray[np.int8], width: int, height: int) -> NDArray[np.uint8]:
    """Interpolate one channel of a delta to (height, width) levels in which `_ZERO` stands for 0."""
    levels = Image.fromarray((plane.astype(np.int16) + _ZERO).astype(np.uint8))
    return np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class _Moves:
    """How far R rows of a picture shall be moved.

    Each array is (R, 4 W), flat, so that numpy's inner loop runs over a whole row and not over 4 bytes.

    Attributes:
        lowest: What a pixel is at least before it is moved down without wrapping round.
        highest: What a pixel is at most before it is moved up.
        change: The move, modulo 256.
    """

    lowest: NDArray[np.uint8]
    highest: NDArray[np.uint8]
    change: NDArray[np.uint8]


def _moves(planes: list[NDArray[np.uint8]]) -> _Moves:
    """Prepare what `_add` needs from one plane (R, W) for R, G and B, or from three; a fourth byte stays."""
    return _Moves(
        lowest=_interleaved([_ZERO - np.minimum(plane, _ZERO) for plane in planes], 0),
        highest=_interleaved([(LEVELS - _ZERO) ^ np.maximum(plane, _ZERO) for plane in planes], LEVELS),
        change=_interleaved([plane ^ _ZERO for plane in planes], 0),
    )


def _interleaved(planes: list[NDArray[Any]], fourth: int) -> NDArray[np.uint8]:
    """Return (R, 4 W): each pixel's three values side by side, then the fourth."""
    rows, width = planes[0].shape
    if len(planes) == 1:  # one multiplication for all bytes is several times faster than a copy of each
        tied = planes[0].astype("<u4")
        tied *= 0x010101
        tied |= fourth << 24
        return tied.view(np.uint8).reshape(rows, 4 * width)
    return np.stack([*planes, np.full_like(planes[0], fourth)], axis=-1).reshape(rows, 4 * width)


def _add(pixels: NDArray[np.uint8], moves: _Moves, repeat: int) -> None:
    """Set pixels to what they are after their move, clipped to 0 to 255, without leaving uint8.

    Where the sum would saturate the pixel is first moved to where it just does not; then adding modulo 256
    can't wrap round.

    Args:
        pixels: (H, W, 4); modified.
        moves: For R rows, each for `repeat` rows of the pixels, the last perhaps for fewer.
        repeat: At least 1.
    """
    whole = len(pixels) // repeat
    for rows, of in (
        (slice(0, whole * repeat), slice(0, whole)),
        (slice(whole * repeat, None), slice(whole, None)),
    ):
        part = pixels[rows]
        if not part.size:
            continue
        part = part.reshape(len(part) // repeat or 1, -1, part.shape[1] * 4)
        np.maximum(part, moves.lowest[of, None], out=part)
        np.minimum(part, moves.highest[of, None], out=part)
        part += moves.change[of, None]


def _reach(fields: list[NDArray[np.uint8]], repeat: int, height: int) -> Difference:
    """Return how far fields move a picture of so many rows if nothing saturates."""
    times = np.full(len(fields[0]), repeat)
    times[-1] = height - repeat * (len(times) - 1)
    largest, squares = 0, 0.0
    for field in fields:
        moves = (field ^ _ZERO).view(np.int8).astype(np.float32)
        largest = max(largest, int(moves.max()), -int(moves.min()))
        # Not a dot product: that may start threads of its own, which would take the cores from other photos.
        squares += float(np.einsum("rc,rc->r", moves, moves) @ times)
    return Difference(largest, psnr(squares / (len(fields) * fields[0].shape[1] * height)))
