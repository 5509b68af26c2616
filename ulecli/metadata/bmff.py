"""The items of an AVIF or HEIF: boxes in boxes (ISO/IEC 14496-12 and 23008-12), read without a decoder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MAX_META = 4 << 20
_HIDDEN = {b"Exif": "EXIF", b"mime": "XMP"}


def read_bmff(file: BinaryIO, limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield ("EXIF" or "XMP", content) for each such item and ("thumbnail", b"") for each thumbnail.

    Args:
        file: At its start; can be sought in.
        limit: No more bytes of an item are read.

    Raises:
        ValueError: The boxes don't fit into each other.
        EOFError: The file ends too early.
    """
    meta = _meta(file)
    children = dict(_boxes(memoryview(meta)[4:]))
    data = children.get(b"idat", memoryview(b""))
    places = _locations(_Reader(children.get(b"iloc", memoryview(b""))))
    for kind, _ in _boxes(children.get(b"iref", memoryview(b""))[4:]):
        if kind == b"thmb":
            yield "thumbnail", b""
    for number, kind in _items(children.get(b"iinf", memoryview(b""))):
        if kind not in _HIDDEN or number not in places:
            continue
        inside, pieces = places[number]
        content = b""
        for offset, length in pieces:
            if inside:
                content += bytes(data[offset : offset + length])
            else:
                file.seek(offset)
                content += file.read(min(length, limit))
        if kind == b"Exif":  # four bytes tell how far it is to the TIFF header
            content = content[4 + int.from_bytes(content[:4], "big") :]
        yield _HIDDEN[kind], content[:limit]


def _meta(file: BinaryIO) -> bytes:
    file.seek(0)
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise EOFError
        length = int.from_bytes(head[:4], "big")
        body = length - 8
        if length == 1:
            body = int.from_bytes(file.read(8), "big") - 16
        if head[4:] == b"meta":
            return file.read(min(body, _MAX_META))
        if body < 0:  # 0 means: to the end of the file
            raise EOFError
        file.seek(body, io.SEEK_CUR)


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    while len(data) >= 8:
        length = int.from_bytes(data[:4], "big")
        if not 8 <= length <= len(data):
            raise ValueError("a box does not fit")
        yield bytes(data[4:8]), data[8:length]
        data = data[length:]


@dataclass
class _Reader:
    data: memoryview
    place: int = 0

    def number(self, size: int) -> int:
        if self.place + size > len(self.data):
            raise EOFError
        self.place += size
        return int.from_bytes(self.data[self.place - size : self.place], "big")


def _items(iinf: memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield the number and kind of every item."""
    if not iinf:
        return
    for _, entry in _boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        wide = entry[0] >= 3
        place = 8 if wide else 6
        number = int.from_bytes(entry[4:place], "big")
        yield number, bytes(entry[place + 2 : place + 6])


def _locations(iloc: _Reader) -> dict[int, tuple[bool, list[tuple[int, int]]]]:
    """Return where each item's pieces lie: offset and length, in the file or inside the box `idat`."""
    if not iloc.data:
        return {}
    version = iloc.number(4) >> 24
    sizes = iloc.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    found = {}
    for _ in range(iloc.number(wide)):
        number = iloc.number(wide)
        inside = version > 0 and iloc.number(2) & 15 == 1
        iloc.number(2)
        base = iloc.number(base_size)
        pieces = []
        for _ in range(iloc.number(2)):
            iloc.number(index_size if version > 0 else 0)
            pieces.append((base + iloc.number(offset_size), iloc.number(length_size)))
        found[number] = inside, pieces
    return found
