"""The coded picture of a file without what lies beside it: what tools that write metadata leave as it is.

Programs that rate, tag, date or turn photos rewrite the file around the coded pixels and copy these byte for
byte, since coding them again would cost quality. So a hash of them recognises a photo whatever was done to
its metadata. Nothing is decoded, which makes it cheap, and safe in the process that holds the key: ranges of
bytes are found by their headers, checked against the length of the file, and hashed. A program that codes the
picture again makes another hash, rightly so: then the pixels are others, too.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from ulecli.system.mapped_file import Content, mapped

Range = tuple[int, int]
"""Where a piece of the coded picture starts and ends."""

_END = re.compile(rb"\xff\xd9")
"""Of a JPEG; in what has many bytes 255 this searches twice as fast as `find`."""
_PIECE = 1 << 20
_MOST = 1 << 16
"""Strips or items that are looked at; a file with more is not recognised."""


def image_data_sha256(path: Path, format: str) -> bytes | None:
    """Hash what the pixels of a file are decoded from.

    Args:
        path: The file.
        format: Pillow's name of it.

    Returns:
        The digest; None if the structure of the file can't be followed or its format is not known here.

    Raises:
        OSError: It can't be read.
    """
    if format not in _RANGES:
        return None
    digest = hashlib.sha256(format.encode("ascii"))
    count = 0
    try:
        with path.open("rb") as file, mapped(file) as data, memoryview(data) as view:
            for start, end in _RANGES[format](data):
                if not 0 <= start <= end <= len(data):
                    return None
                count += end - start
                for place in range(start, end, _PIECE):
                    with view[place : min(end, place + _PIECE)] as piece:  # not copied
                        digest.update(piece)
    except (ValueError, LookupError, struct.error):
        return None
    return digest.digest() if count else None


def _jpeg(data: Content) -> Iterator[Range]:
    """Yield the tables and frame headers, then all from the first scan to the end marker."""
    place = 2
    while True:
        while data[place] == data[place + 1] == 0xFF:  # fill bytes
            place += 1
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place] != 0xFF or length < 2:
            raise ValueError("no segment")
        if marker == 0xDA:
            break
        if not 0xE0 <= marker <= 0xEF and marker != 0xFE:
            yield place, place + 2 + length
        place += 2 + length
    end = _END.search(data, place)
    yield place, end.start() if end else len(data)


def _png(data: Content) -> Iterator[Range]:
    """Yield the header, the palette, what is transparent, and the pixels, however cut into chunks."""
    place = 8
    while data[place + 4 : place + 8] != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        if len(data) < place + 12 + length:
            raise ValueError("cut short")
        if data[place + 4 : place + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            yield place + 8, place + 8 + length
        place += 12 + length


def _webp(data: Content) -> Iterator[Range]:
    """Yield the picture and its opacity."""
    place, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while place + 8 <= end:
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            yield place + 8, place + 8 + length
        place += 8 + length + length % 2


_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR = 256, 257, 258, 259, 262, 277, 317
_STARTS, _LENGTHS = (273, 324), (279, 325)
"""Of strips, and of tiles."""
_WIDTHS = {3: 2, 4: 4, 16: 8}
"""Bytes of a whole number, by TIFF's number of its type."""
_LETTERS = {2: "H", 4: "L", 8: "Q"}


def _tiff(data: Content) -> Iterator[Range]:
    """Yield what says how the first picture is coded, and its strips or tiles."""
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack(order + "H", data[2:4])
    big = version == 43
    number, size, inner = ("Q", 20, 8) if big else ("L", 12, 4)
    (place,) = struct.unpack_from(order + number, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    place += 8 if big else 2
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(place, place + min(count, _MOST) * size, size):
        tag, kind, values = struct.unpack_from(order + "HH" + number, data, entry)
        width = _WIDTHS.get(kind)
        if width is None or values > _MOST:
            continue
        at = entry + size - inner
        if values * width > inner:
            (at,) = struct.unpack_from(order + number, data, at)
        tags[tag] = struct.unpack_from(f"{order}{values}{_LETTERS[width]}", data, at)
        if tag in (_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR):
            yield at, at + values * width
    for starts, lengths in zip(_STARTS, _LENGTHS, strict=True):
        for start, length in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=True):
            yield start, start + length


def _bmp(data: Content) -> Iterator[Range]:
    yield 0, len(data)


def _bmff(data: Content) -> Iterator[Range]:
    """Yield the items that are coded pictures, in the order of their numbers."""
    meta = dict(_boxes(data, 0, len(data)))[b"meta"]
    inner = dict(_boxes(data, meta[0] + 4, meta[1]))
    kinds = dict(_items(data, *inner[b"iinf"]))
    inside_at = inner.get(b"idat", (0, 0))[0]
    for item, inside, pieces in sorted(_locations(data, *inner[b"iloc"])):
        if kinds.get(item) not in (None, b"Exif", b"mime", b"uri "):
            for start, length in pieces:
                start += inside_at if inside else 0
                yield start, start + length


def _boxes(data: Content, place: int, end: int) -> Iterator[tuple[bytes, Range]]:
    while place + 8 <= end:
        length, head = int.from_bytes(data[place : place + 4], "big"), 8
        kind = bytes(data[place + 4 : place + 8])
        if length == 1:
            length, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        length = length or end - place
        if not head <= length <= end - place:
            raise ValueError("a box does not fit")
        yield kind, (place + head, place + length)
        place += length


def _items(data: Content, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number and kind of each item."""
    for _, (place, _) in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        size = 4 if data[place] >= 3 else 2
        place += 4 + size
        yield int.from_bytes(data[place - size : place], "big"), bytes(data[place + 2 : place + 6])


def _locations(data: Content, start: int, end: int) -> Iterator[tuple[int, bool, list[Range]]]:
    """Yield of each item its number, whether it lies in the box idat, and its pieces as start and length."""
    place = start + 4

    def number(size: int) -> int:
        nonlocal place
        place += size
        if place > end:
            raise ValueError("cut short")
        return int.from_bytes(data[place - size : place], "big")

    version, sizes = data[start], number(2)
    of_start, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item = number(wide)
        inside = version > 0 and number(2) & 15 == 1
        number(2)
        base, pieces = number(of_base), []
        for _ in range(number(2)):
            number(of_index if version > 0 else 0)
            pieces.append((base + number(of_start), number(of_length)))
        yield item, inside, pieces


_RANGES: dict[str, Callable[[Content], Iterator[Range]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "AVIF": _bmff,
    "HEIC": _bmff,
}
