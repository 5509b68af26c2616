"""A picture as platforms pass it on, and as the surrogate's net sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ulecli.units import LEVELS

QUALITY = 85
"""Of the JPEG that every variant goes through, as at a large platform."""

SIDES = (1080, 512, 224)
"""Longest sides, in pixels, that a photo is shrunk to before."""

_MAX_JPEG_SIDE = 65500  # what libjpeg stores at most, in pixels

VARIANTS = ("file", f"q{QUALITY}", *map(str, SIDES))
"""Names: the picture as it is; after JPEG; shrunk to that longest side and then JPEG."""


@dataclass(frozen=True)
class Sight:
    """How the net sees a picture.

    Attributes:
        channels: 1 for gray, 3 for RGB.
        side: Of the square that it is squeezed to, in pixels.
    """

    channels: int
    side: int


def views(picture: Image.Image, sight: Sight) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the names of a picture's variants, and each as the net sees it.

    Returns:
        Of `VARIANTS` those that `variants` yields; and (N, C, side, side), unit scale.
    """
    shown = dict(variants(picture))
    return tuple(shown), seen(list(shown.values()), sight)


def seen(pictures: list[Image.Image], sight: Sight) -> NDArray[np.float32]:
    """Return pictures of any size as the net sees them, (N, C, side, side), unit scale."""
    planes = []
    for picture in pictures:
        plain = picture.convert("L" if sight.channels == 1 else "RGB")
        small = plain.resize((sight.side, sight.side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        planes.append(np.asarray(small, np.float32).reshape(sight.side, sight.side, -1).transpose(2, 0, 1))
    return np.stack(planes) / np.float32(LEVELS)


def variants(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yield the picture as it is and as platforms pass it on, by the names of `VARIANTS`.

    Left out is what would enlarge the picture, and JPEG at full size where that holds no picture so long.
    """
    yield "file", picture
    if max(picture.size) <= _MAX_JPEG_SIDE:
        yield f"q{QUALITY}", _stored(picture)
    for side in SIDES:
        scale = side / max(picture.size)
        if scale < 1:
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            small = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            yield str(side), _stored(small)


def _stored(picture: Image.Image) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    buffer.seek(0)
    with JpegImageFile(buffer) as stored:  # not Image.open, which refuses what is large
        stored.load()
        return stored
