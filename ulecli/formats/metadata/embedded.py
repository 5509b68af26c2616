"""Pictures that are embedded in other data: JPEG streams, and pictures written as text in base64."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

Data = bytes | bytearray | mmap.mmap

_STREAM = re.compile(rb"(?s).\xd8\xff{1,64}[\xc0-\xcf\xdb\xdd\xe0-\xef\xfe]")
"""The beginning of a JPEG. Some makers alter the first byte of a preview; fill bytes may precede a marker."""

_BASE64 = 1024
"""So long a run of the characters of base64 is a picture; prose has commas."""

_RUN = re.compile(rf"(?<![A-Za-z0-9+/=\s])[A-Za-z0-9+/=\s]{{{_BASE64},}}+")
_REFERENCE = re.compile(r"&#[xX]?[0-9A-Fa-f]{1,8};")
"""XML's way to write any character; that of a line end may part the lines of base64."""


def streams(data: Data) -> Iterator[tuple[int, int]]:
    """Yield where JPEG pictures that are embedded in `data` start and end."""
    end = 0
    for match in _STREAM.finditer(data):
        if match.start() >= end and (stop := _end_of_stream(data, match.start() + 2)):
            end = stop
            yield match.start(), end
    if end < len(data) - 1 and data[-2:] == b"\xff\xd8":  # what follows in a file could complete it
        yield len(data) - 2, len(data)


def _end_of_stream(data: Data, place: int) -> int:
    """Follow the segments of a JPEG from its first; return where it ends, 0 if it is none."""
    segments = 0
    while place + 4 <= len(data) and data[place] == 0xFF:
        if data[place + 1] == 0xFF:  # a fill byte
            place += 1
            continue
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        segments += 1
        if marker == 0xDA:
            end = data.find(b"\xff\xd9", place + 2 + length)
            return end + 2 if end >= 0 else len(data)
        place += 2 + length
    # Cut short by the end of the data, or damaged after too many segments for chance.
    return min(place, len(data)) if segments > 1 else 0


def without_base64(text: str) -> str:
    """Return a text without the pictures in it that are written in base64."""
    if len(text) < _BASE64:
        return text
    return _RUN.sub(lambda run: "" if _is_picture(run[0]) else run[0], text)


def holds_base64(text: bytes) -> bool:
    """Return whether a text of any encoding, XML or not, may hold a picture that is written in base64."""
    plain = _REFERENCE.sub("\n", text.replace(b"\0", b"").decode("latin-1"))
    return any(_is_picture(run[0]) for run in _RUN.finditer(plain))


def _is_picture(run: str) -> bool:
    return sum(map(len, run.split())) >= _BASE64  # and not filling
