"""AVIF: pictures coded as AV1 in the boxes of `bmff`."""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile

from ulecli.errors import PhotoSkipped
from ulecli.formats import bmff, colour
from ulecli.formats.format import Source
from ulecli.formats.memory import Memory
from ulecli.system.mapped_file import Content

LOSSY_QUALITY = 85
"""A file does not say its quality; this is as fine as a JPEG of 85."""

_DEEP, _TWELVE, _ACROSS, _DOWN = 0b0100_0000, 0b0010_0000, 0b1000, 0b0100
"""Bits of the byte of av1C that holds depth and subsampling (AV1-ISOBMFF 2.3.3)."""


class _Opened(Source):
    """An AVIF whose boxes were read and that the library has opened."""

    def __init__(self, file: BinaryIO, data: Content) -> None:
        super().__init__()
        meta = bmff.read_meta(data)
        properties = meta.coded_properties()
        if b"clap" in meta.properties(meta.primary):
            raise PhotoSkipped("is an AVIF that shows a part of its pixels (clap), which can't be kept")
        flags = (properties.get(b"av1C", b"") + bytes([0, 0, _ACROSS | _DOWN]))[2]
        self.size = meta.size() or (0, 0)
        self.bits = 8 if not flags & _DEEP else 12 if flags & _TWELVE else 10
        sampling = "4:2:0" if flags & _DOWN else "4:2:2" if flags & _ACROSS else "4:4:4"
        # One thread for one photo, since others are in work at the same time.
        self.settings: dict[str, Any] = {
            **{"quality": LOSSY_QUALITY, "subsampling": sampling},
            **{"speed": 9, "max_threads": 1},
        }
        self._file, self._points = file, meta.code_points()
        self.remarks += bmff.left_out(data)
        self._stored: AvifImageFile | None = None

    def open_decoder(self) -> None:
        """Hand the file to the library."""
        self._stored = stored = AvifImageFile(self._file)
        self.size, self.frames = stored.size, int(getattr(stored, "n_frames", 1))
        self.exif = bytes(stored.info.get("exif") or b"")
        self.xmp = bytes(stored.info.get("xmp") or b"")
        self.profile = bytes(stored.info.get("icc_profile") or b"")
        if not self.profile and self._points:
            self.profile = colour.coded_profile(*self._points)

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture."""
        assert self._stored
        self._stored.load()
        return self._stored


class _Avif(bmff.ItemFormat):
    """AVIF (AOMedia's AV1 Image File Format)."""

    name, suffixes, encoder = "AVIF", (".avif",), "AVIF"

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the boxes."""
        return _Opened(file, data)


AVIF = _Avif()
