"""Memory that is a picture and an array at once, used for one picture after the other.

To fetch fresh memory for a photo takes a sixth of the time that it takes to decode it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUARTER_TURNS = {5, 6, 7, 8}
"""Orientations of EXIF that swap width and height."""

_MIRRORED, _UPSIDE_DOWN = {2, 3, 6, 7}, {3, 4, 7, 8}
"""After that swap."""

_MOST_KEPT = 128 << 20
"""Bytes: a picture of 32 megapixels."""

_MOST_TIMES = 16
"""How many times more than a picture needs is kept while it is in work: among many small pictures one large
one shall not hold its memory to the end."""


class Memory:
    """Room for the pixels of one picture at a time: whatever had them before is overwritten."""

    def __init__(self) -> None:
        """Hold nothing yet.

        What fits a picture of up to 32 megapixels is kept, twice once one was turned, until one comes that
        needs far less.
        """
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def room(self, width: int, height: int) -> NDArray[np.uint8]:
        """Return an array (H, W, 4) of no certain content."""
        most = _MOST_TIMES * height * width * 4
        self._kept = {name: kept for name, kept in self._kept.items() if len(kept) <= most}
        return self._get("stored", height, width)

    def upright(self, pixels: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
        """Return a copy, (W, H, 4) or (H, W, 4), that is upright; three times faster than Pillow's.

        Args:
            pixels: (H, W, 4).
            turn: How it lies, by the orientations of EXIF: 1 to 8.
        """
        view = pixels.view(np.uint32)[..., 0]  # four bytes at a time
        if turn in QUARTER_TURNS:
            view = view.T
        if turn in _MIRRORED:
            view = view[:, ::-1]
        if turn in _UPSIDE_DOWN:
            view = view[::-1]
        turned = self._get("turned", *view.shape)
        turned.view(np.uint32)[..., 0] = view
        return turned

    def _get(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        size = height * width * 4
        if size > _MOST_KEPT:
            return np.empty((height, width, 4), np.uint8)
        if name not in self._kept or len(self._kept[name]) < size:
            self._kept.pop(name, None)  # before its successor is fetched
            self._kept[name] = np.empty(size, np.uint8)
        return self._kept[name][:size].reshape(height, width, 4)


def image_on(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an RGBX image whose memory is an array (H, W, 4)."""
    return Image.frombuffer("RGBX", pixels.shape[1::-1], pixels, "raw", "RGBX", 0, 1)


class _PixelLimit:
    """The library's limit of pixels, which holds for the whole process and not for one picture."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._limit: int | None = None

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Lift the limit as long as some thread is here."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    Image.MAX_IMAGE_PIXELS = self._limit


pixel_limit = _PixelLimit()
"""Lifted while a picture is read, whose size is checked against the limit of this program."""
