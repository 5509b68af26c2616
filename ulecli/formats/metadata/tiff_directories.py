"""The structure that EXIF borrows from TIFF: directories of tags, read without trust and written plainly."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ulecli.formats.metadata.embedded import Data

SHORT, LONG = 3, 4
ENTRY = 12
"""Bytes of one tag in its directory."""

POINTERS = {0x8769: "Exif", 0x8825: "GPS", 0xA005: "Interop", 0x014A: "Sub"}
"""Tags whose value is where another directory starts."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SIZES |= {16: 8, 17: 8, 18: 8, 129: 1}
"""Bytes of a number, by TIFF's number of its type; 16 to 18 are of BigTIFF, 129 is the UTF-8 of Exif 3.0."""

_MAX_DIRECTORIES = 128
_TOO_MANY = "the EXIF block has too many directories"
_MAX_ENTRIES = 16_384
"""Tags of a whole structure; those of a photo are fewer than a thousand."""

_MAX_COVER = 4
"""How many times over the values may cover the block. Without overlap it is once; some writers let equal
values share their place."""

_MAX_VALUE = 16 << 20
"""Bytes; of a longer value, such as the layers that Photoshop keeps in a TIFF, no more is read."""

MAX_NUMBERS = 1 << 16
"""Of a tag with more numbers none are read."""

Field = tuple[int, int, int, bytes]
"""Tag, type, count, and the value in the block's byte order."""


class BadExif(ValueError):
    """The block is not the TIFF structure that EXIF is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a block: where its value lies, not the value itself, so that overlapping ones cost nothing.

    Attributes:
        directory: "0" or "1" for the chained ones, else a name from `POINTERS`.
        tag: Its number.
        kind: TIFF's number of the value's type.
        count: How many of that type the value has.
        place: Where the entry starts.
        at: Where the value starts.
        length: Bytes of the value; 0 where they lie outside the block or the type is unknown.
        data: The block, which has to stay open as long as values are read.
    """

    directory: str
    tag: int
    kind: int
    count: int
    place: int
    at: int
    length: int
    data: Data = field(repr=False, compare=False)

    @property
    def value(self) -> bytes:
        """A copy of the value's bytes, 16 MiB at most."""
        return bytes(self.data[self.at : self.at + min(self.length, _MAX_VALUE)])


def byte_order(tiff: Data) -> str:
    """Return the byte order of a block without prefix, as `struct` names it.

    Raises:
        BadExif: It is no TIFF structure.
    """
    endian = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if endian is None:
        raise BadExif("the EXIF block has no TIFF header")
    return endian


def entries_of(tiff: Data, *, follow: bool = True) -> list[Entry]:
    """Return the tags of a TIFF structure, directory by directory; of the first one alone unless `follow`.

    Each directory is visited once, wherever links lead. A directory beyond the first that does not lie within
    the block is taken for absent.

    Raises:
        BadExif: The first directory ends beyond the block, or directories or values overlap so much that the
            structure can't be honest.
    """
    endian = byte_order(tiff)
    found, covered = list[Entry](), 0
    most = min(_MAX_ENTRIES, len(tiff) // ENTRY)
    try:
        for entry in _walk(tiff, endian, follow):
            found.append(entry)
            covered += entry.length
            if len(found) > most or covered > _MAX_COVER * len(tiff):
                raise BadExif("the EXIF block has too many tags, or they overlap")
    except struct.error as error:
        raise BadExif("the EXIF block ends too early") from error
    return found


def _walk(tiff: Data, endian: str, follow: bool) -> Iterator[Entry]:
    waiting, seen = deque([("0", int(struct.unpack_from(endian + "L", tiff, 4)[0]))]), set[int]()
    while waiting:
        name, start = waiting.popleft()
        if start in seen or (seen and not 8 <= start <= len(tiff) - 2):
            continue
        if len(seen) == _MAX_DIRECTORIES:
            raise BadExif(_TOO_MANY)
        seen.add(start)
        (count,) = struct.unpack_from(endian + "H", tiff, start)
        if len(seen) > 1 and start + 2 + ENTRY * count > len(tiff):
            continue
        for place in range(start + 2, start + 2 + ENTRY * count, ENTRY):
            entry = _entry(tiff, endian, name, place)
            yield entry
            if follow and entry.tag in POINTERS:
                waiting += [(POINTERS[entry.tag], to) for to in numbers(entry, endian)]
                if len(waiting) > _MAX_DIRECTORIES:
                    raise BadExif(_TOO_MANY)
        link = start + 2 + ENTRY * count
        if follow and name in ("0", "1") and link + 4 <= len(tiff):  # some writers leave the last link out
            (following,) = struct.unpack_from(endian + "L", tiff, link)
            waiting += [("1", int(following))] if following else []


def _entry(tiff: Data, endian: str, directory: str, place: int) -> Entry:
    tag, kind, count = struct.unpack_from(endian + "HHL", tiff, place)
    length = SIZES.get(kind, 0) * count
    at = place + 8 if length <= 4 else int(struct.unpack_from(endian + "L", tiff, place + 8)[0])
    return Entry(directory, tag, kind, count, place, at, length if at + length <= len(tiff) else 0, tiff)


def numbers(entry: Entry, endian: str) -> list[int]:
    """Return the whole numbers that a tag holds; none if it holds others, or more than `MAX_NUMBERS`."""
    letter = {1: "B", 6: "B", 7: "B", SHORT: "H", LONG: "L", 9: "L", 13: "L"}.get(entry.kind)
    if letter is None or not 0 < entry.count <= MAX_NUMBERS or not entry.length:
        return []
    return list(struct.unpack(f"{endian}{entry.count}{letter}", entry.value))


def write(directories: Mapping[str, Sequence[Field]], endian: str) -> bytes:
    """Write a block anew.

    Args:
        directories: The tags of "0", "Exif" and "Interop", without the pointers between them.
        endian: The byte order that the values are in.
    """
    fields = {name: list(directories.get(name, ())) for name in ("0", "Exif", "Interop")}
    links = [("Interop", "Exif", 0xA005), ("Exif", "0", 0x8769)]
    for name, above, tag in links:
        if fields[name]:
            fields[above].append((tag, LONG, 1, b""))  # its place is known below
    places, end = {}, 8
    for name, tags in fields.items():
        places[name] = end
        end += _length(tags) if tags else 0
    pointed = {tag: struct.pack(endian + "L", places[name]) for name, _, tag in links}
    content = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "L", 8)
    for name, tags in fields.items():
        resolved = [(tag, kind, count, pointed.get(tag, value)) for tag, kind, count, value in sorted(tags)]
        content += _directory(resolved, places[name], endian) if tags else b""
    return content


def _length(tags: Sequence[Field]) -> int:
    return 6 + ENTRY * len(tags) + sum(len(value) + len(value) % 2 for *_, value in tags if len(value) > 4)


def _directory(tags: Sequence[Field], start: int, endian: str) -> bytes:
    head, tail = struct.pack(endian + "H", len(tags)), b""
    base = start + 6 + ENTRY * len(tags)
    for tag, kind, count, value in tags:
        head += struct.pack(endian + "HHL", tag, kind, count)
        if len(value) <= 4:
            head += value.ljust(4, b"\0")
        else:
            head += struct.pack(endian + "L", base + len(tail))
            tail += value + bytes(len(value) % 2)
    return head + bytes(4) + tail
