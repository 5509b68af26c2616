"""EXIF made fit for an upright, protected picture: orientation 1, no thumbnail, everything else as it was.

The bytes are patched in place. Writing the tags anew would move the makers' notes, whose offsets count from
the start of the block, and lose what the writer does not know.
"""

from __future__ import annotations

import struct

PREFIX = b"Exif\0\0"

_ORIENTATION = 0x0112
_THUMBNAIL_OFFSET = 0x0201
_THUMBNAIL_LENGTH = 0x0202
_SHORT = 3
_ENTRY = 12


class BadExif(ValueError):
    """The block is not the TIFF structure that EXIF is."""


def orientation(block: bytes) -> int:
    """Return how the stored picture lies, 1 to 8; 1 (upright) if the block does not say or can't be read.

    Args:
        block: EXIF with or without its prefix.
    """
    try:
        tiff, endian = _open(block)
        place = _find(tiff, endian, _first(tiff, endian), _ORIENTATION)
        value = _orientation_at(tiff, endian, place) if place else 1
    except (BadExif, struct.error):
        return 1
    return value if 1 <= value <= 8 else 1


def upright(block: bytes) -> bytes:
    """Return the block, with its prefix, for a picture that has been turned upright.

    The orientation is 1. The second directory is cut off and its thumbnail overwritten with zeros: it shows
    the picture unprotected.

    Args:
        block: EXIF with or without its prefix.

    Raises:
        BadExif: The block can't be followed as far as needed.
    """
    tiff, endian = _open(block)
    try:
        first = _first(tiff, endian)
        if place := _find(tiff, endian, first, _ORIENTATION):
            # Whatever type a broken writer chose: one short, value 1.
            struct.pack_into(endian + "HLHH", tiff, place + 2, _SHORT, 1, 1, 0)
        _cut_thumbnail(tiff, endian, first)
    except struct.error as error:
        raise BadExif("the EXIF block ends too early") from error
    return PREFIX + bytes(tiff)


def _open(block: bytes) -> tuple[bytearray, str]:
    tiff = bytearray(block.removeprefix(PREFIX))
    endian = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if endian is None:
        raise BadExif("the EXIF block has no TIFF header")
    return tiff, endian


def _first(tiff: bytearray, endian: str) -> int:
    return int(struct.unpack_from(endian + "L", tiff, 4)[0])


def _find(tiff: bytearray, endian: str, directory: int, tag: int) -> int:
    """Return where the entry of `tag` starts in a directory; 0 if it is not there."""
    (count,) = struct.unpack_from(endian + "H", tiff, directory)
    for place in range(directory + 2, directory + 2 + count * _ENTRY, _ENTRY):
        if struct.unpack_from(endian + "H", tiff, place)[0] == tag:
            return place
    return 0


def _orientation_at(tiff: bytearray, endian: str, place: int) -> int:
    (kind,) = struct.unpack_from(endian + "H", tiff, place + 2)
    return int(struct.unpack_from(endian + ("H" if kind == _SHORT else "L"), tiff, place + 8)[0])


def _cut_thumbnail(tiff: bytearray, endian: str, first: int) -> None:
    (count,) = struct.unpack_from(endian + "H", tiff, first)
    link = first + 2 + count * _ENTRY
    if link + 4 > len(tiff):  # some writers leave the last link out; then there is no second directory
        return
    (second,) = struct.unpack_from(endian + "L", tiff, link)
    struct.pack_into(endian + "L", tiff, link, 0)
    if not 8 <= second < len(tiff) - 2:
        return
    places = [_find(tiff, endian, second, tag) for tag in (_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH)]
    if all(places):
        offset, length = (struct.unpack_from(endian + "L", tiff, place + 8)[0] for place in places)
        end = min(offset + length, len(tiff))
        if offset < link + 4 and end > first:
            raise BadExif("the EXIF thumbnail lies over the tags")
        tiff[offset:end] = bytes(max(0, end - offset))
