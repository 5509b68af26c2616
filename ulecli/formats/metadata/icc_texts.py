"""Texts in colour profiles, in the types that versions 2 and 4 have for them (ICC.1:2001-04, ICC.1:2022)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAX_LANGUAGES = 100


def written(text: str, tag: bytes, *, new: bool) -> bytes:
    """Return the content of a tag that holds one text.

    Args:
        text: ASCII in old profiles.
        tag: "cprt" has a type of its own in old profiles.
        new: The profile is of version 4 or later.
    """
    if new:
        units = text.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">LL2s2sLL", 1, 12, b"en", b"US", len(units), 28) + units
    plain = text.encode("ascii", "replace") + b"\0"
    if tag == b"cprt":
        return b"text" + bytes(4) + plain
    return b"desc" + bytes(4) + struct.pack(">L", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)


def texts_of(content: bytes) -> Iterator[str]:
    """Yield the texts of a tag, in all languages that it has them in."""
    kind = content[:4]
    if kind == b"text":
        yield content[8:].rstrip(b"\0").decode("latin-1").strip()
    elif kind == b"desc" and len(content) >= 12:
        length = int.from_bytes(content[8:12], "big")
        yield content[12 : 12 + length].rstrip(b"\0").decode("latin-1").strip()
        units = int.from_bytes(content[16 + length : 20 + length], "big")
        if (
            unicode := content[20 + length : 20 + length + 2 * units]
            .decode("utf-16-be", "replace")
            .strip("\0 ")
        ):
            yield unicode
        if macintosh := content[23 + length + 2 * units :].strip(b"\0"):
            yield macintosh.decode("latin-1").strip()
    elif kind == b"mluc" and len(content) >= 16:
        for number in range(min(int.from_bytes(content[8:12], "big"), _MAX_LANGUAGES)):
            place = 16 + 12 * number
            length, start = struct.unpack_from(">LL", content.ljust(place + 12, b"\0"), place + 4)
            yield content[start : start + length].decode("utf-16-be", "replace").strip("\0 ")
    elif content:
        yield content.decode("latin-1")
