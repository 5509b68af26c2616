"""BMP: a header, perhaps a palette, and rows; it has no room for metadata, so not for the mark either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from ulecli.errors import PhotoSkipped
from ulecli.formats.format import Block, Format, Range, Source, Unfollowable, density
from ulecli.formats.memory import Memory
from ulecli.formats.pixels import stored_bits
from ulecli.system.mapped_file import Content

_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
"""How long the second header can be; nothing else in the first bytes is always the same."""

_PROFILES = (b"DEBM", b"KNIL")
"""In a header of version 5: a profile is in the file, or the name of one beside it."""

_OS2, _LAST_HEADER = 12, 124


class _Opened(Source):
    """A BMP whose header was read."""

    def __init__(self, file: BinaryIO, data: Content) -> None:
        super().__init__()
        if _has_profile(data):
            raise PhotoSkipped("is a BMP with a colour profile, which can't be written; make it a PNG")
        self._stored = stored = BmpImageFile(file)
        self.size, self.bits, self.settings = (
            stored.size,
            stored_bits(stored),
            density(stored.info.get("dpi")),
        )

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture and make it opaque: in most that have a fourth channel it says nothing.

        Raises:
            PhotoSkipped: It says something, and a BMP that is written here can't.
        """
        stored = self._stored
        stored.load()
        if stored.mode != "RGBA":
            return stored
        if stored.getchannel("A").getextrema() not in ((0, 0), (255, 255)):
            raise PhotoSkipped("is a BMP with transparency, which can't be written; make it a PNG")
        return stored.convert("RGB")


class _Bmp(Format):
    """BMP of Windows and OS/2."""

    name, suffixes, encoder = "BMP", (".bmp", ".dib"), "BMP"
    holds_mark = False

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes are those of a BMP."""
        return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _HEADERS

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the header."""
        return _Opened(file, data)

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield all of it: there is no room for anything else."""
        yield 0, len(data)

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield a profile, and bytes that are neither header nor pixels."""
        if len(data) < 26:
            raise Unfollowable(len(data))
        header, start = _number(data, 14, 4), _number(data, 10, 4)
        if not 14 + header <= start <= len(data):
            raise Unfollowable(10)
        if _has_profile(data):
            yield Block("colour profile")
        width, height, bits, packing, used = _layout(data, header)
        height = min(height, (1 << 32) - height)  # a negative one lies the other way round
        masks = {3: 12, 6: 16}.get(packing, 0) if header == 40 else 0
        colours = (used or (1 << bits if bits <= 8 else 0)) * (3 if header == _OS2 else 4)
        if any(data[14 + header + masks + colours : start].strip(b"\0")):
            yield Block("bytes before the pixels")
        length = _number(data, 34, 4) if packing in (1, 2) else (width * bits + 31) // 32 * 4 * height
        if start + length > len(data):
            raise Unfollowable(len(data))
        if whole and (rest := len(data) - start - length) > 0:
            yield Block(f"{rest} bytes behind the picture")


def _layout(data: Content, header: int) -> tuple[int, int, int, int, int]:
    """Return width, height, bits of a pixel, kind of packing, and how many colours the palette holds."""
    if header == _OS2:
        return _number(data, 18, 2), _number(data, 20, 2), _number(data, 24, 2), 0, 0
    places = (18, 4), (22, 4), (28, 2), (30, 4), (46, 4)
    width, height, bits, packing, used = (
        _number(data, *at) if sum(at) <= 14 + header else 0 for at in places
    )
    return width, height, bits, packing, used


def _number(data: Content, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _has_profile(data: Content) -> bool:
    return _number(data, 14, 4) == _LAST_HEADER and bytes(data[70:74]) in _PROFILES


BMP = _Bmp()
