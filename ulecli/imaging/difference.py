"""How far two pictures are apart, in bands of rows, so that large ones take little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops

from ulecli.units import LEVELS

_BAND_PIXELS = 256 * 1024


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart.

    Attributes:
        max_change: Largest difference of any channel of any pixel, in levels.
        psnr_db: Peak signal-to-noise ratio in dB; infinite for equal pictures.
    """

    max_change: int
    psnr_db: float


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
    return Difference(int(counts.nonzero()[0].max()), psnr(mean_square))


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


def psnr(mean_square: float) -> float:
    """Return the peak signal-to-noise ratio in dB for a mean squared difference in levels squared."""
    return 10 * math.log10(LEVELS**2 / mean_square) if mean_square else math.inf
