"""One row for each format that is protected, and small files of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import scene
from PIL import Image

from ulecli.formats.picture import Picture, decode, encode


@dataclass(frozen=True)
class Row:
    """What tests know of a format.

    Attributes:
        pillow: Pillow's name of it.
        finest: Settings with which Pillow stores a picture as finely as it can.
        lossless: It holds every level.
        mark: It has room for metadata.
        ends: The file says where it ends, so that what follows is seen.
    """

    pillow: str
    finest: dict[str, Any] = field(default_factory=dict)
    lossless: bool = True
    mark: bool = True
    ends: bool = True


ROWS = {
    "JPEG": Row("JPEG", {"quality": 100, "subsampling": 0}, lossless=False),
    "PNG": Row("PNG"),
    "WEBP": Row("WEBP", {"lossless": True, "exact": True}),
    "TIFF": Row("TIFF", ends=False),
    "BMP": Row("BMP", mark=False),
    "AVIF": Row("AVIF", {"quality": 100, "subsampling": "4:4:4"}, lossless=False),
    "HEIC": Row("HEIF", {"quality": 100, "chroma": 444}, lossless=False),
}
MARKED = [name for name, row in ROWS.items() if row.mark]


def stored(name: str, image: Image.Image | None = None, **settings: Any) -> bytes:
    """Return a small file of a format, made by Pillow."""
    if name == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    (image or scene()).save(file, ROWS[name].pillow, **{**ROWS[name].finest, **settings})
    return file.getvalue()


def decoded(folder: Path, content: bytes, format: str, **options: Any) -> Picture:
    """Decode a file of such content."""
    (folder / "in").write_bytes(content)
    return decode(folder / "in", format, **options)


def rewritten(folder: Path, picture: Picture) -> bytes:
    """Return the file that a picture is encoded to."""
    (folder / "out").unlink(missing_ok=True)
    encode(picture, picture.image, folder / "out")
    return (folder / "out").read_bytes()


def segment(marker: int, content: bytes = b"") -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box of an AVIF or HEIC."""
    body = b"".join(content)
    return struct.pack(">L", 8 + len(body)) + kind + body


def exif_block() -> bytes:
    """Return EXIF, without prefix, that says where and by whom a photo was taken."""
    tags = Image.Exif()
    tags[0x013B] = "Ada"
    tags[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return tags.tobytes().removeprefix(b"Exif\0\0")


def tiff(order: str, body: bytes, tags: dict[int, tuple[int, Sequence[int] | bytes]]) -> bytes:
    """Return a TIFF of kinds that Pillow can't write, its pixels from byte 8 on.

    Args:
        order: "<" or ">".
        body: The pixels, as stored.
        tags: From number to TIFF's type, 3, 4 or 7, and the values.
    """
    body += bytes(len(body) % 2)
    apart, entries, start = b"", struct.pack(order + "H", len(tags)), 8 + len(body)
    for tag, (kind, values) in sorted(tags.items()):
        letter = {3: "H", 4: "L", 7: "B"}[kind]
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        entries += struct.pack(order + "HHL", tag, kind, len(values))
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "L", start + len(apart))
            apart += packed + bytes(len(packed) % 2)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "L", start + len(apart)) + body + apart + entries + bytes(4)


def tiff_tags(size: tuple[int, int], bits: int, channels: int, length: int) -> dict[int, tuple[int, Any]]:
    """Return the tags of an uncompressed TIFF of one strip."""
    photometric = 2 if channels >= 3 else 1
    return {
        **{256: (4, [size[0]]), 257: (4, [size[1]]), 258: (3, [bits] * channels), 259: (3, [1])},
        **{
            262: (3, [photometric]),
            273: (4, [8]),
            277: (3, [channels]),
            278: (4, [size[1]]),
            279: (4, [length]),
        },
        **({338: (3, [2])} if channels == 4 else {}),
    }
