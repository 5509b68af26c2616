"""WebP: chunks in a RIFF file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from ulecli.formats.format import MAX_BLOCK, REST, Block, Format, Range, Source, Unfollowable, behind
from ulecli.formats.memory import Memory
from ulecli.system.mapped_file import Content

LOSSY_QUALITY = 90
"""A lossy file does not say its quality; this is as fine as a JPEG of 85."""

_HEAD = 12
_PICTURES = {b"VP8 ", b"VP8L", b"ANMF"}
_PLAIN = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM"}
_LENGTHS = {b"VP8X": 10, b"ANIM": 6}
_FRAME_HEAD = 16
"""Bytes of a frame before its own chunks."""

_MOST_CHUNKS = 1 << 16


class Chunk(NamedTuple):
    """One chunk: its name, and where its content starts and ends."""

    kind: bytes
    body: int
    end: int


def chunks(data: Content) -> Iterator[Chunk]:
    """Yield the chunks of a WebP.

    Raises:
        Unfollowable: The file is shorter than it says, a chunk longer than it, or there are too many.
    """
    last = end_of(data)
    if last > len(data):
        raise Unfollowable(4)
    yield from _chunks(data, _HEAD, last)


def _chunks(data: Content, place: int, last: int) -> Iterator[Chunk]:
    for _ in range(_MOST_CHUNKS):
        if place >= last:
            return
        body = place + 8
        end = body + int.from_bytes(data[place + 4 : body], "little")
        if end > last:
            raise Unfollowable(place)
        yield Chunk(bytes(data[place : place + 4]), body, end)
        place = end + (end - body) % 2
    raise Unfollowable(place)


def end_of(data: Content) -> int:
    """Return where the file ends by its own word."""
    return 8 + int.from_bytes(data[4:8], "little")


class _Opened(Source):
    """A WebP that the library has opened."""

    def __init__(self, file: BinaryIO, data: Content, lossless: bool) -> None:
        super().__init__()
        self._stored = stored = WebPImageFile(file)
        self.size, self.frames = stored.size, int(getattr(stored, "n_frames", 1))
        self.exif = bytes(stored.info.get("exif") or b"")
        self.xmp = bytes(stored.info.get("xmp") or b"")
        self.profile = bytes(stored.info.get("icc_profile") or b"")
        # Lossless stays lossless, under transparent pixels too.
        finely: dict[str, Any] = {"lossless": True, "quality": 50} if lossless else {"quality": LOSSY_QUALITY}
        self.settings = {"exact": True, **finely}
        if remark := behind(data, end_of(data)):
            self.remarks.append(remark)
        self.not_carried = tuple(_unknown(data))
        if REST not in self.remarks and end_of(data) > len(data):
            self.remarks.append(REST)

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture."""
        self._stored.load()
        return self._stored


class _Webp(Format):
    """WebP (RFC 9649)."""

    name, suffixes, encoder = "WEBP", (".webp",), "WEBP"
    max_bytes = 512 << 20

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes are those of a WebP."""
        return head[:4] == b"RIFF" and head[8:12] == b"WEBP"

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Hand the file to the library."""
        return _Opened(file, data, self.lossless(data))

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield EXIF, XMP, the profile, and chunks that are not known to be harmless."""
        pictures = 0
        for kind, body, end in chunks(data):
            content = bytes(data[body : min(end, body + MAX_BLOCK)])
            pictures += kind in _PICTURES
            if kind in (b"EXIF", b"XMP "):
                yield Block(kind.decode("ascii").strip(), content.removeprefix(b"Exif\0\0"))
            elif kind == b"ICCP":
                yield Block("ICC", content)
            elif kind == b"ANMF":
                inner = [chunk.kind for chunk in _chunks(data, body + _FRAME_HEAD, end)]
                yield from map(_unknown_block, dict.fromkeys(one for one in inner if one not in _PLAIN))
            elif kind not in _PLAIN or end - body > _LENGTHS.get(kind, end - body):
                yield _unknown_block(kind)
            if (end - body) % 2 and end < len(data) and data[end] and end < end_of(data):
                yield Block("bytes between its chunks")
        if pictures > 1:
            yield Block("further picture")
        if whole and (rest := len(data) - end_of(data)) > 0:
            yield Block(f"{rest} bytes behind the picture")

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield the picture and its opacity."""
        for chunk in chunks(data):
            if chunk.kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
                yield chunk.body, chunk.end

    def lossless(self, data: Content) -> bool:
        """Return whether the picture, or the first of several, holds every level as it was given."""
        try:
            for kind, body, _ in chunks(data):
                if kind in (b"VP8 ", b"VP8L"):
                    return kind == b"VP8L"
                if kind == b"ANMF":
                    return b"VP8L" in (data[body + 16 : body + 20], data[body + 24 : body + 28])
        except Unfollowable:
            pass
        return False


def _unknown_block(kind: bytes) -> Block:
    return Block(f"chunk {kind.decode('latin-1')!r}")


def _unknown(data: Content) -> Iterator[str]:
    known = _PLAIN | {b"EXIF", b"XMP ", b"ICCP", b"ANMF"}
    try:
        for kind in dict.fromkeys(chunk.kind for chunk in chunks(data)):
            if kind not in known:
                yield f"chunk {kind.decode('latin-1')!r}"
    except Unfollowable:
        return


WEBP = _Webp()
