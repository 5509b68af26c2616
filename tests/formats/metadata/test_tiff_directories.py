from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Callable

import pytest

from ulecli.formats.metadata import exif, tiff_directories
from ulecli.formats.metadata.tiff_directories import BadExif, entries_of, numbers

BLOCK = 65_527
"""Bytes of EXIF that fit into a segment of a JPEG."""


def overlapping(count: int = 5_000, length: int = 60_000, directories: int = 31) -> bytes:
    """A block of directories that overlap, each full of tags whose values overlap, too.

    The places of the values, read as the count of a directory that starts there, are `count`.
    """
    pointer = struct.pack(">HHLL", 0x014A, 4, directories, BLOCK - 4 * directories)
    entry = struct.pack(">HHLL", 0x9C9C, 1, length, count)
    room = (BLOCK - 4 * directories - 10) // 12 - 1
    content = b"MM\0*\0\0\0\x08" + struct.pack(">H", room) + pointer + entry * room
    starts = [8 + 12 * number for number in range(2, 2 + directories)]
    return content[: BLOCK - 4 * directories].ljust(BLOCK - 4 * directories, b"\0") + struct.pack(
        f">{directories}L", *starts
    )


def circle() -> bytes:
    """Two directories that point to each other, and to themselves."""
    first = struct.pack("<HHHLLL", 1, 0x8769, 4, 1, 26, 8)
    second = struct.pack("<HHHLLHHLLL", 2, 0x014A, 4, 1, 8, 0xA005, 4, 1, 26, 26)
    return b"II*\0\x08\0\0\0" + first + second


READERS: dict[str, Callable[[bytes], object]] = {
    "entries_of": entries_of,
    "private": lambda block: exif.private(block, (40, 30)),
    "upright": lambda block: exif.upright(block, (40, 30)),
    "withheld": exif.withheld,
    "withheld of a file": lambda block: exif.withheld(block, file=True),
    "orientation": exif.orientation,
}


def values_in_one_place() -> bytes:
    """One directory of tags that all have the same long value."""
    entry = struct.pack("<HHLL", 0x9C9C, 7, 60_000, 16)
    count = (BLOCK - 14) // 12
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entry * count + bytes(4)


def many_links() -> bytes:
    """A directory of pointers, each of which leads to thousands of directories."""
    entry = struct.pack("<HHLL", 0x014A, 4, 16_000, 16)
    count = (BLOCK - 14) // 12
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entry * count + bytes(4)


ATTACKS = {
    "directories": overlapping(),
    "directories without values": overlapping(length=1),
    "values": values_in_one_place(),
    "links": many_links(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_directories_that_overlap_cost_little(monkeypatch, attack, reader):
    block, steps = ATTACKS[attack], 0
    entry = tiff_directories._entry

    def counted(*arguments: object) -> tiff_directories.Entry:
        nonlocal steps
        steps += 1
        return entry(*arguments)

    exif.withheld(circle())  # what is imported only once does not count
    monkeypatch.setattr(tiff_directories, "_entry", counted)
    tracemalloc.start()
    with contextlib.suppress(BadExif):
        READERS[reader](block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert steps <= len(block) // 12 + 1
    assert peak < 4 << 20


@pytest.mark.parametrize("attack", ATTACKS)
def test_directories_that_overlap_are_refused(attack):
    with pytest.raises(BadExif, match=r"overlap|too many"):
        entries_of(ATTACKS[attack])


def test_a_circle_is_walked_once():
    found = entries_of(circle())
    assert [(entry.directory, entry.tag) for entry in found] == [
        ("0", 0x8769),
        ("Exif", 0x014A),
        ("Exif", 0xA005),
    ]


def test_equal_values_may_share_a_place():
    shared = struct.pack("<LL", 72, 1)
    tags = [struct.pack("<HHLL", tag, 5, 1, 38) for tag in (0x011A, 0x011B)]
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + b"".join(tags) + bytes(4) + shared
    assert [entry.value for entry in entries_of(block)] == [shared, shared]


@pytest.mark.parametrize("endian", "<>")
def test_a_value_is_read_where_it_lies(endian):
    head = {"<": b"II*\0", ">": b"MM\0*"}[endian] + struct.pack(endian + "L", 8)
    block = head + struct.pack(endian + "HHHLHHHHLLL", 2, 0x0112, 3, 1, 6, 0, 0x0100, 4, 2, 38, 0)
    block += struct.pack(endian + "LL", 7, 8)
    short, longs = entries_of(block)
    assert numbers(short, endian) == [6] and numbers(longs, endian) == [7, 8]
    assert (longs.at, longs.length, longs.value) == (38, 8, block[38:46])
    (_, beyond) = entries_of(block[:-1])
    assert (beyond.length, beyond.value, numbers(beyond, endian)) == (0, b"", [])


def test_a_value_that_is_very_long_is_not_copied_whole():
    count = 17 << 20
    start = struct.pack("<HHHLL", 1, 65000, 1, count, 26) + bytes(4)
    (entry,) = entries_of(b"II*\0\x08\0\0\0" + start + b"\1" * count)
    assert entry.count == count and len(entry.value) == 16 << 20
    assert numbers(entry, "<") == []


def test_more_directories_than_a_photo_has_are_refused():
    chain = b"".join(struct.pack("<HL", 0, 8 + 6 * (number + 1)) for number in range(200))
    assert entries_of(b"II*\0\x08\0\0\0" + chain[: 6 * 100] + bytes(6)) == []
    with pytest.raises(BadExif, match="too many directories"):
        entries_of(b"II*\0\x08\0\0\0" + chain)
