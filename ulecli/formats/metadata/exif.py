"""EXIF made fit for an upright, protected picture.

There are two ways. `private` writes a new block of nothing but tags that are known to be harmless. `upright`
patches the bytes in place and keeps everything that does not show the picture: writing the tags anew would
move the makers' notes, whose offsets count from the start of the block, and lose what the writer does not
know.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from ulecli.formats.metadata.embedded import Data, streams
from ulecli.formats.metadata.exif_tags import (
    HEIGHTS,
    KEPT,
    MAX_KEPT,
    MAX_PLAIN,
    NAMES,
    ORIENTATION,
    PICTURES,
    STRUCTURE,
    TEXTS,
    WIDTHS,
    XMP,
)
from ulecli.formats.metadata.tiff_directories import (
    ENTRY,
    LONG,
    MAX_NUMBERS,
    POINTERS,
    SHORT,
    SIZES,
    BadExif,
    Entry,
    Field,
    byte_order,
    entries_of,
    numbers,
    write,
)

__all__ = [
    "PREFIX",
    "BadExif",
    "orientation",
    "private",
    "upright",
    "withheld",
]

PREFIX = b"Exif\0\0"

_ASCII, _UTF8 = 2, 129
_WORDS = (_ASCII, _UTF8)
"""Types of text."""

_MOMENT = re.compile(rb"[0-9 :.,/+\-TZ\0]*")
"""A date, time zone or part of a second, as cameras write them."""


def orientation(block: bytes, unsaid: int = 1) -> int:
    """Return how the stored picture lies, 1 (upright) to 8.

    Args:
        block: EXIF with or without its prefix.
        unsaid: What to return if the block does not say or can't be read.
    """
    tiff = block.removeprefix(PREFIX)
    try:
        entries = entries_of(tiff, follow=False)
    except BadExif:
        return unsaid
    return next((turn for entry in entries if (turn := _turn(entry, byte_order(tiff)))), unsaid)


def private(block: bytes, size: tuple[int, int]) -> bytes:
    """Return a new block, with its prefix, of the tags of date, camera and exposure; empty if none.

    Whatever is not known to be harmless stays behind: position, serial numbers, names, comments, makers'
    notes, thumbnails and all unknown tags.

    Args:
        block: EXIF with or without its prefix.
        size: Width and height of the upright picture.

    Raises:
        BadExif: The block can't be followed.
    """
    tiff = block.removeprefix(PREFIX)
    endian = byte_order(tiff)
    kept: dict[str, dict[int, Field]] = {name: {} for name in KEPT}
    for entry in entries_of(tiff):
        tag = entry.tag
        if tag in WIDTHS | HEIGHTS and entry.directory == "Exif":
            kept["Exif"][tag] = (tag, LONG, 1, struct.pack(endian + "L", size[tag in HEIGHTS]))
        elif tag == ORIENTATION and entry.directory == "0":
            kept["0"][tag] = (tag, SHORT, 1, struct.pack(endian + "H", 1))
        elif _is_kept(entry):
            kept[entry.directory][tag] = (tag, entry.kind, entry.count, entry.value)
    if not any(kept.values()):
        return b""
    directories = {name: list(fields.values()) for name, fields in kept.items()}
    return PREFIX + write(directories, endian)


def upright(block: bytes, size: tuple[int, int] | None = None) -> bytes:
    """Return the block, with its prefix, for a picture that has been turned upright.

    The orientation is 1 and the tags of the size are right. The second directory is cut off, and all
    thumbnails and previews, those in makers' notes too, are overwritten with zeros: they show the picture
    unprotected.

    Args:
        block: EXIF with or without its prefix.
        size: Width and height of the upright picture; None leaves the tags that hold them as they are.

    Raises:
        BadExif: The block can't be followed as far as needed.
    """
    tiff = bytearray(block.removeprefix(PREFIX))
    endian = byte_order(tiff)
    entries = entries_of(tiff)
    pictures = _merged([*_pictures(entries, endian), *streams(tiff)], len(tiff))
    needed = bytearray(len(tiff))
    for start, end in _needed(entries):
        needed[start:end] = b"\1" * (end - start)
    if any(needed.find(1, start, end) >= 0 for start, end in pictures):
        raise BadExif("an EXIF thumbnail lies over the tags")
    for start, end in pictures:
        tiff[start:end] = bytes(end - start)
    for entry in entries:
        if entry.directory == "0" and entry.tag == ORIENTATION:
            # Whatever type a broken writer chose: one short, value 1.
            struct.pack_into(endian + "HLHH", tiff, entry.place + 2, SHORT, 1, 1, 0)
        elif size and entry.directory in ("0", "Exif") and entry.tag in WIDTHS | HEIGHTS:
            struct.pack_into(endian + "HLL", tiff, entry.place + 2, LONG, 1, size[entry.tag in HEIGHTS])
    _cut_second(tiff, endian)
    return PREFIX + bytes(tiff)


def withheld(block: Data, *, file: bool = False) -> list[str]:
    """Name what `private` would remove.

    Args:
        block: EXIF with or without its prefix, or the content of a TIFF file.
        file: It is a file: then JPEG streams and the tags that lay out pixels are the picture itself.

    Raises:
        BadExif: The block can't be followed.
    """
    tiff = block.removeprefix(PREFIX) if isinstance(block, bytes) else block
    endian = byte_order(tiff)
    found = dict[str, None]()
    if not file and any(end - start > 2 for start, end in streams(tiff)):
        found["embedded picture"] = None
    whole = {"GPS": "GPS", "1": "second page" if file else "thumbnail", "Sub": "picture in the picture"}
    harmless = POINTERS.keys() | STRUCTURE | ({XMP} if file else set())
    entries = entries_of(tiff)
    laid = {entry.tag for entry in entries if entry.directory == "0"} & {place for place, _ in PICTURES}
    if file and len(laid) > 1:  # beside its strips or tiles, a whole JPEG
        found["embedded picture"] = None
    for entry in entries:
        if entry.directory in whole:
            found[whole[entry.directory]] = None
        elif entry.tag == ORIENTATION:
            found.update({"orientation": None} if _turn(entry, endian) > 1 else {})
        elif entry.tag in harmless:
            found.update({_name(entry): None} if entry.kind in _WORDS else {})
        elif (entry.kind not in SIZES or entry.value.strip(b"\0 ")) and not _is_kept(entry):
            found[_name(entry)] = None
    return list(found)


def _name(entry: Entry) -> str:
    from PIL.ExifTags import TAGS

    return TAGS.get(entry.tag, f"tag 0x{entry.tag:04x}")


def _is_kept(entry: Entry) -> bool:
    if entry.tag not in KEPT.get(entry.directory, ()) or not 0 < entry.length <= MAX_KEPT:
        return False
    if entry.directory == "Interop":
        return entry.length <= 4
    if entry.tag in TEXTS:
        return _MOMENT.fullmatch(entry.value) is not None
    return entry.tag in NAMES or (entry.kind not in _WORDS and entry.length <= MAX_PLAIN)


def _turn(entry: Entry, endian: str) -> int:
    if entry.tag != ORIENTATION:
        return 0
    value = next(iter(numbers(entry, endian)), 0)
    return value if 1 <= value <= 8 else 0


def _pictures(entries: Iterable[Entry], endian: str) -> Iterator[tuple[int, int]]:
    """Yield where the pictures of the directories beyond the first lie, however they are stored."""
    layout = {tag for pair in PICTURES for tag in pair}
    for directory in ("1", "Sub"):
        found: dict[int, list[int]] = {}
        for entry in entries:
            if entry.directory == directory and entry.tag in layout:
                pieces = found.setdefault(entry.tag, [])
                if len(pieces) + entry.count > MAX_NUMBERS:
                    raise BadExif("an EXIF thumbnail is in too many pieces")
                pieces += numbers(entry, endian)
        for offsets, lengths in PICTURES:
            for start, length in zip(found.get(offsets, ()), found.get(lengths, ()), strict=False):
                yield start, start + length


def _merged(ranges: Iterable[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """Return ranges of a block in order and without overlap, cut where it ends."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        stop = min(stop, end)
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        elif start < stop:
            merged.append((start, stop))
    return merged


def _needed(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    """Yield the bytes that no picture may lie over: the header and the directories that stay."""
    yield 0, 8
    for entry in entries:
        if entry.directory not in ("1", "Sub"):
            yield entry.place - 2, entry.place + ENTRY


def _cut_second(tiff: bytearray, endian: str) -> None:
    (first,) = struct.unpack_from(endian + "L", tiff, 4)
    (count,) = struct.unpack_from(endian + "H", tiff, first)
    link = first + 2 + count * ENTRY
    if link + 4 <= len(tiff):
        struct.pack_into(endian + "L", tiff, link, 0)
