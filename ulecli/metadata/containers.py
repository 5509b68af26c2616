"""What a picture file holds beside its pixels, read from its structure alone: no pixel is decoded.

Every format is a chain of named blocks. A reader follows the chain, steps over what holds pixels, and yields
the rest, so that marks and leaks are found in the file itself and not in what some library makes of it.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ulecli.formats.metadata.tiff_directories import BadExif, entries_of
from ulecli.metadata.bmff import read_bmff
from ulecli.system.mapped_file import mapped

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_MAX_BLOCK = 16 << 20
"""Bytes; a longer block is cut there: no metadata that is read here has a reason to be longer."""

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Block:
    """One piece of a file that holds no pixels of the picture.

    Attributes:
        kind: "EXIF", "XMP", "TIFF" (the file itself is the block), or what it is in words.
        content: Its bytes; empty where only its presence matters.
    """

    kind: str
    content: bytes = b""


def blocks(path: Path, *, whole: bool = False) -> Iterator[Block]:
    """Yield what a JPEG, PNG, WebP, TIFF, AVIF or HEIF holds beside its pixels and its colour profile.

    Args:
        path: The file. Of another format, and from where its structure is broken, nothing is yielded.
        whole: Look behind the picture, too, where a JPEG may hide another; that takes reading all of it.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        with suppress(ValueError, EOFError, IndexError):
            yield from _reader(head)(file, whole)


def _reader(head: bytes) -> Callable[[BinaryIO, bool], Iterator[Block]]:
    if head.startswith(b"\xff\xd8"):
        return _jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff
    if head[4:8] == b"ftyp":
        return _bmff
    return lambda file, whole: iter(())


def _take(file: BinaryIO, count: int) -> bytes:
    taken = file.read(count)
    if len(taken) < count:
        raise EOFError
    return taken


def _jpeg(file: BinaryIO, whole: bool) -> Iterator[Block]:
    file.seek(2)
    while True:
        start = _take(file, 4)
        marker, length = start[1], int.from_bytes(start[2:], "big")
        if start[0] != 0xFF or length < 2:
            return
        if marker == 0xDA:
            break
        content = _take(file, length - 2)
        if block := _jpeg_block(marker, content):
            yield block
    if whole:
        file.seek(-4, io.SEEK_CUR)
        if rest := _behind(file.read()):
            yield Block(f"{rest} bytes behind the picture")


def _jpeg_block(marker: int, content: bytes) -> Block | None:
    if marker == 0xE1 and content.startswith(b"Exif\0"):
        return Block("EXIF", content[6:])
    if marker == 0xE1 and content.startswith(JPEG_XMP):
        return Block("XMP", content.removeprefix(JPEG_XMP))
    if marker == 0xE1 and content.startswith(_JPEG_LONG_XMP):
        return Block("XMP extension")
    if marker == 0xED:
        return Block("IPTC or Photoshop resources")
    if marker == 0xFE:
        return Block("comment")
    if marker == 0xE0:
        thumbnail = content.startswith(b"JFXX") or (content.startswith(b"JFIF\0") and len(content) > 14)
        return Block("JFIF thumbnail") if thumbnail else None
    if marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
        return None
    if marker == 0xE2 and content.startswith(b"MPF\0"):
        return Block("index of more pictures")
    return Block(f"APP{marker - 0xE0} segment") if 0xE1 <= marker <= 0xEF and marker != 0xEE else None


def _behind(data: bytes) -> int:
    """Count the bytes behind the end of a JPEG, given from its first scan on."""
    place = 0
    while found := _NEXT_MARKER.search(data, place):
        if data[found.start() + 1] == 0xD9:
            return len(data) - found.end()
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return 0


def _png(file: BinaryIO, whole: bool) -> Iterator[Block]:
    file.seek(8)
    while True:
        head = _take(file, 8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            break
        if kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"tIME"):
            content = _take(file, min(length, _MAX_BLOCK))
            yield _png_block(kind, content)
            file.seek(length - len(content) + 4, io.SEEK_CUR)
        else:
            file.seek(length + 4, io.SEEK_CUR)
    file.seek(4, io.SEEK_CUR)
    if whole and (rest := len(file.read())):
        yield Block(f"{rest} bytes behind the picture")


def _png_block(kind: bytes, content: bytes) -> Block:
    if kind == b"eXIf":
        return Block("EXIF", content)
    if kind == b"tIME":
        return Block("time of the last change")
    key, _, rest = content.partition(b"\0")
    if key == b"XML:com.adobe.xmp" and kind == b"iTXt" and len(rest) > 2:
        text = rest[2:].split(b"\0", 2)[-1]
        return Block("XMP", _inflated(text) if rest[0] else text)
    return Block(f"text {key.decode('latin-1')!r}")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_BLOCK)
    except zlib.error:
        return b""


def _webp(file: BinaryIO, whole: bool) -> Iterator[Block]:
    end = 8 + int.from_bytes(_take(file, 12)[4:8], "little")
    while file.tell() + 8 <= end:
        head = _take(file, 8)
        length = int.from_bytes(head[4:], "little")
        following = file.tell() + length + length % 2
        if head[:4] in (b"EXIF", b"XMP "):
            yield Block(head[:4].decode("ascii").strip(), _take(file, min(length, _MAX_BLOCK)))
        elif head[:4] not in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"):
            yield Block(f"chunk {head[:4].decode('latin-1')!r}")
        file.seek(following)
    if whole and (rest := len(file.read())):
        yield Block(f"{rest} bytes behind the picture")


def _tiff(file: BinaryIO, whole: bool) -> Iterator[Block]:
    with mapped(file) as content:
        try:
            entries = entries_of(content)
        except BadExif:
            return
        for entry in entries:
            if entry.directory == "0" and entry.tag == 0x02BC:
                yield Block("XMP", entry.value)
    if whole:
        yield Block("TIFF")


def _bmff(file: BinaryIO, whole: bool) -> Iterator[Block]:
    for kind, content in read_bmff(file, _MAX_BLOCK):
        yield Block(kind, content)
