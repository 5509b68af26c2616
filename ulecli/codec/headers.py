"""The few things in a file's header that decide its colours and that Pillow does not tell."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import ImageFile

from ulecli.codec import colour
from ulecli.errors import PhotoSkipped

SUBSAMPLED_ACROSS, SUBSAMPLED_DOWN = 0b1000, 0b0100
_DEEP, _TWELVE = 0b0100_0000, 0b0010_0000
_UNSPECIFIED = 2
_SHORT_CHUNK = 64


@contextlib.contextmanager
def kept_place(file: BinaryIO) -> Iterator[None]:
    """Leave the position in the file as it was."""
    place = file.tell()
    try:
        yield
    finally:
        file.seek(place)


def png_head(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the short chunks before the pixels of a PNG."""
    file.seek(8)
    while len(head := file.read(8)) == 8 and (kind := head[4:]) != b"IDAT":
        (length,) = struct.unpack(">L", head[:4])
        if length <= _SHORT_CHUNK:
            yield kind, file.read(length)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def avif_flags(file: BinaryIO) -> int:
    """Return the byte of an AVIF that holds depth and subsampling (AV1-ISOBMFF 2.3.3), or that for 4:2:0."""
    file.seek(0)
    content = file.read()
    place = content.find(b"av1C")
    return content[place + 6] if 0 <= place < len(content) - 6 else SUBSAMPLED_ACROSS | SUBSAMPLED_DOWN


def bits_of(stored: ImageFile.ImageFile, file: BinaryIO, format: str) -> int:
    """Tell how many bits per channel an AVIF or HEIC has; 8 for any other format."""
    if format != "AVIF":
        return int(stored.info.get("bit_depth", 8))
    with kept_place(file):
        flags = avif_flags(file)
    return 8 if not flags & _DEEP else 12 if flags & _TWELVE else 10


def profile_of(stored: ImageFile.ImageFile, file: BinaryIO, format: str) -> bytes:
    """Return the ICC profile of a loaded picture, or one that stands for the code points of AVIF and HEIC.

    Returns:
        b"" if there is none; also for a PNG with code points, which are carried as they are.

    Raises:
        PhotoSkipped: It is one of high dynamic range, of a space without a profile here, or of a BMP.
    """
    profile = bytes(stored.info.get("icc_profile") or b"")
    with kept_place(file):
        if format == "BMP" and _bmp_has_profile(file):
            raise PhotoSkipped("is a BMP with a colour profile, which can't be written; make it a PNG")
        primaries, transfer = _code_points(stored, file, format)
    if format == "PNG" and transfer not in colour.BRIGHT:
        return profile
    return profile or colour.coded_profile(primaries, transfer)


def _bmp_has_profile(file: BinaryIO) -> bool:
    """Tell whether a BMP's header, of version 5, says that a profile is in the file or beside it."""
    file.seek(14)
    header = file.read(60)
    return header[0] == 124 and header[56:] in (b"DEBM", b"KNIL")


def _code_points(stored: ImageFile.ImageFile, file: BinaryIO, format: str) -> tuple[int, int]:
    """Return primaries and transfer of ITU-T H.273."""
    if format == "HEIC":
        coded = stored.info.get("nclx_profile") or {}
        primaries = int(coded.get("color_primaries", _UNSPECIFIED))
        return primaries, int(coded.get("transfer_characteristics", _UNSPECIFIED))
    if format == "PNG":
        points = next((content for kind, content in png_head(file) if kind == b"cICP"), b"")
        return (points[0], points[1]) if len(points) == 4 else (_UNSPECIFIED, _UNSPECIFIED)
    if format == "AVIF":
        file.seek(0)
        after = file.read().partition(b"colrnclx")[2]
        if len(after) >= 4:
            return int.from_bytes(after[:2], "big"), int.from_bytes(after[2:4], "big")
    return _UNSPECIFIED, _UNSPECIFIED
