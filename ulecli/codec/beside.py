"""What a file shows beside its picture and the protected one can't: it is told of, so none is lost unseen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from PIL import ImageFile

from ulecli.codec.headers import kept_place
from ulecli.errors import PhotoError
from ulecli.system.mapped_file import Content, mapped

_ENOUGH = 4096
"""Bytes, to tell filling from content."""

_END_OF_JPEG = b"\xff\xd9"
_GAIN_MAPS = (b"hdrgm:Version", b"urn:iso:std:iso:ts:21496")
"""Of Ultra HDR in the XMP, and of ISO 21496-1 in a segment; Pillow may not see the picture it is in."""

_MORE_ITEMS = b"Item:Semantic"
"""In the XMP of a JPEG that lists what lies behind it."""

_VIDEO = b"ftyp"
"""Begins an MP4. Phones put one behind the photo that is its cover."""


def left_out(stored: ImageFile.ImageFile, file: BinaryIO, format: str) -> Iterator[str]:
    """Say that a gain map, a depth map, a video, or something unknown behind the picture is left out.

    Args:
        stored: Opened from `file`.
        file: Stays where it is.
        format: As in `SUFFIXES`.

    Raises:
        PhotoError: It is a JPEG without an end.
    """
    segments = [content for _, content in getattr(stored, "applist", ())]
    several = getattr(stored, "n_frames", 1) > 1  # the others are told of where the first is taken
    auxiliary = [str(name).lower() for name in stored.info.get("aux", ())]
    gain_map = not several and any(name in content for content in segments for name in _GAIN_MAPS)
    if gain_map or any("gainmap" in name for name in auxiliary):
        yield "its gain map for bright screens was left out"
    if stored.info.get("depth_images") or any("gainmap" not in name for name in auxiliary):
        yield "its depth map or masks were left out"
    with kept_place(file):
        rest = _behind(file, format)
    if rest == "video":
        yield "its video was left out; it is a motion photo, as it seems"
    elif not gain_map and not several and (rest or any(_MORE_ITEMS in content for content in segments)):
        yield "what lies behind the picture in its file was left out"


def _behind(file: BinaryIO, format: str) -> str:
    """Return "video", "something" or "", by the structure of the file: it may be longer than the memory."""
    if format in ("AVIF", "HEIC"):
        return "video" if _holds_video(file) else ""
    end_of = {"JPEG": _end_of_jpeg, "PNG": _end_of_png, "WEBP": _end_of_webp}.get(format)
    if end_of is None:
        return ""
    with mapped(file) as data:
        end = end_of(data)
        if not data[end : end + _ENOUGH].strip(b"\0\r\n"):
            return ""
        return "video" if data.find(_VIDEO, end) >= 0 else "something"


def _end_of_jpeg(data: Content) -> int:
    """Return where a JPEG ends: where the file does, for most, which is known without reading all of it."""
    if data[-_ENOUGH:].rstrip(b"\0").endswith(_END_OF_JPEG):
        return len(data)
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        filler = data[place + 1 : place + 2] == b"\xff"
        place += 1 if filler else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    end = data.find(_END_OF_JPEG, place)
    if end < 0:  # its decoder takes what fills a half-copied file for the rest of the picture
        raise PhotoError("is damaged: it is cut short, and something else follows")
    return end + 2


def _end_of_png(data: Content) -> int:
    place, kind = 8, b""
    while kind != b"IEND" and place + 12 <= len(data):
        kind = data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return place


def _end_of_webp(data: Content) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _holds_video(file: BinaryIO) -> bool:
    """Tell whether there is a film among the outermost boxes of a file that begins as a picture."""
    file.seek(0)
    first = True
    while len(head := file.read(8)) == 8:
        if head[4:] in (b"moov", b"mpvd") or (head[4:] == _VIDEO and not first):
            return True
        length, first = int.from_bytes(head[:4], "big"), False
        skip = int.from_bytes(file.read(8), "big") - 16 if length == 1 else length - 8
        if skip < 0:  # 0 means: to the end of the file
            return False
        file.seek(skip, io.SEEK_CUR)
    return False
