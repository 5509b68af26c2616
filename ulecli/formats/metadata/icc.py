"""Colour profiles (ICC.1:2022) without what is no colour: names of owners, hosts and devices, serial numbers.

A profile that a calibration program or an operating system made of a screen names the screen, its serial
number and often the owner of the machine, in its description or in tags of its own. `private` writes a
profile anew, of nothing but what colour engines compute with, so that every pixel converts as before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ulecli.formats.metadata import icc_texts
from ulecli.formats.metadata.stock_profiles import COPYRIGHT, DESCRIPTION, DEVICE, MADE_HERE, SIGNATURE

_HEADER, _ENTRY = 128, 12
_MAX_BYTES = 16 << 20
_MAX_TAGS = 100
_FILLING = 3
"""Bytes at the end of a profile that only make its length a multiple of four."""

_CURVES = {b"rTRC", b"gTRC", b"bTRC", b"kTRC"}
_POINTS = {b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"bkpt"}
_TABLES = {way + digit for way in (b"A2B", b"B2A", b"D2B", b"B2D") for digit in (b"0", b"1", b"2", b"3")}
_TYPES = {
    **dict.fromkeys(_CURVES, (b"curv", b"para")),
    **dict.fromkeys(_POINTS, (b"XYZ ",)),
    **dict.fromkeys(_TABLES, (b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet")),
    b"chad": (b"sf32",),
    b"cicp": (b"cicp",),
    b"chrm": (b"chrm",),
}
"""The tags that decide colours, and the types that their values may have."""

_PARAMETERS = (1, 3, 4, 5, 7)
"""Numbers of a parametric curve, by its kind."""

_SILENT = {b"tech": 12, b"meas": 36, b"view": 36, b"lumi": 20}
"""Tags that no conversion needs and that say nothing about a person, and their lengths."""

_PRINTING = {b"gamt", b"pre0", b"pre1", b"pre2"}
"""Tables for proofs on paper."""

_TEXTS = {b"desc", b"cprt", b"dmnd", b"dmdd", b"vued"}
_NAMES = {
    b"desc": "description",
    b"cprt": "copyright",
    b"dmnd": "maker of the device",
    b"dmdd": "model of the device",
    b"vued": "viewing conditions",
    b"mmod": "make and model",
    b"dscm": "descriptions",
    b"meta": "further data",
    b"targ": "measurements",
    b"vcgt": "calibration of the screen",
}
_NEUTRAL = {b"RGB ": "RGB", b"GRAY": "Gray", b"CMYK": "CMYK"}
_NO_COPYRIGHT = "No copyright"

_KNOWN = {b"desc": DESCRIPTION, b"cprt": COPYRIGHT}

_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}
_D50 = bytes.fromhex("0000f6d6000100000000d32d")


class BadProfile(ValueError):
    """The profile can't be followed, or has not what colour engines need."""


@dataclass(frozen=True)
class _Profile:
    """A profile that was read; tags that lie outside of it are taken for absent, as colour engines do.

    Attributes:
        header: Its first 128 bytes.
        tags: By name.
        unused: Bytes between and behind the tags, beyond what aligns them.
    """

    header: bytes
    tags: dict[bytes, bytes]
    unused: int


def private(profile: bytes) -> bytes:
    """Return the profile with nothing in it but what decides colours; pixels convert as with the whole one.

    Maker, model, creator, date and identity in the header are blank; description and copyright are neutral,
    unless they are those of a profile that everyone has. One that everyone has in all parts stays as it is.

    Raises:
        BadProfile: It is damaged, or of a kind that no picture has.
    """
    read = _read(profile)
    if _is_stock(read):
        return profile
    tags = {b"desc": _text(read, b"desc"), b"cprt": _text(read, b"cprt"), **dict(_colours(read))}
    return _written(_plain_header(read.header), tags)


def leaks(profile: bytes) -> list[str]:
    """Name what a profile says beyond colour, empty if nothing.

    One that is damaged is named as such: "that can't be followed".
    """
    try:
        return _leaks(_read(profile))
    except BadProfile:
        return ["that can't be followed"]


def _leaks(read: _Profile) -> list[str]:
    colours = dict(_colours(read))
    found = []
    for tag, content in read.tags.items():
        if tag in _TEXTS:
            known = _KNOWN.get(tag, DEVICE)
            harmless = all(not text or known.fullmatch(text) for text in icc_texts.texts_of(content))
        else:
            harmless = tag in colours or tag in _PRINTING or len(content) == _SILENT.get(tag)
        if not harmless:
            found.append(_NAMES.get(tag) or f"tag {tag.decode('latin-1')!a}")
    signatures = (read.header[place : place + 4] for place in (4, 40, 48, 52, 80))
    if not all(SIGNATURE.fullmatch(signature) for signature in signatures):
        found.append("device in its header")
    if read.header[100:].strip(b"\0"):
        found.append("end of its header")
    if read.unused > _FILLING:
        found.append("bytes that no tag holds")
    return found


def _is_stock(read: _Profile) -> bool:
    """Return whether a profile is one that everyone has, in all of its parts."""
    parts = {**dict(_colours(read)), **{tag: read.tags.get(tag, b"") for tag in _TEXTS | _SILENT.keys()}}
    exact = all(
        len(content) == len(parts.get(tag, b"")) == _SILENT.get(tag, len(content))
        for tag, content in read.tags.items()
    )
    named = any(icc_texts.texts_of(read.tags.get(b"desc", b"")))
    made_here = read.header[4:8] in MADE_HERE or read.header[80:84] in MADE_HERE
    return named and exact and not read.unused and not made_here and not _leaks(read)


def _read(profile: bytes) -> _Profile:
    if not _HEADER + 4 <= len(profile) <= _MAX_BYTES or profile[36:40] != b"acsp":
        raise BadProfile("the colour profile has no header")
    (count,) = struct.unpack_from(">L", profile, _HEADER)
    if count > _MAX_TAGS or _HEADER + 4 + count * _ENTRY > len(profile):
        raise BadProfile("the colour profile ends too early")
    tags: dict[bytes, bytes] = {}
    used = {(0, _HEADER + 4 + count * _ENTRY)}
    for number in range(count):
        tag, start, length = struct.unpack_from(">4sLL", profile, _HEADER + 4 + number * _ENTRY)
        if start + length <= len(profile) and length >= 8:
            tags.setdefault(tag, profile[start : start + length])
            used.add((start, length + -length % 4))
    unused = max(0, len(profile) - sum(length for _, length in used))
    read = _Profile(profile[:_HEADER], tags, unused)
    if profile[12:16] not in _CLASSES or profile[20:24] not in (b"XYZ ", b"Lab "):
        raise BadProfile("the colour profile is of a kind that no picture has")
    found = dict(_colours(read)).keys()
    matrix = {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"}
    if not (matrix <= found or b"kTRC" in found or found & {b"A2B0", b"A2B1", b"D2B0", b"D2B1"}):
        raise BadProfile("the colour profile lacks what colours are computed with")
    return read


def _colours(read: _Profile) -> Iterator[tuple[bytes, bytes]]:
    """Yield the tags that decide colours, each cut to the bytes that belong to its type."""
    for tag, content in read.tags.items():
        kind = content[:4]
        if kind not in _TYPES.get(tag, ()):
            continue
        length = _length(kind, content)
        if length <= len(content):
            yield tag, kind + bytes(4) + content[8:length]


def _length(kind: bytes, content: bytes) -> int:
    """Return how long the content of a tag is by its type; all of it for tables."""
    padded = content.ljust(12, b"\0")
    count, curve = int.from_bytes(padded[8:12], "big"), int.from_bytes(padded[8:10], "big")
    if kind == b"para":
        return 12 + 4 * _PARAMETERS[curve] if curve < len(_PARAMETERS) else len(content) + 1
    fixed = {b"XYZ ": 20, b"sf32": 44, b"cicp": 12, b"chrm": 12 + 8 * curve, b"curv": 12 + 2 * count}
    return fixed.get(kind, len(content))


def _text(read: _Profile, tag: bytes) -> bytes:
    """Return a description or copyright written anew: as it is if everyone has it, else a neutral one."""
    space = read.header[16:20]
    text = next(icc_texts.texts_of(read.tags.get(tag, b"")), "")
    if not text or not _KNOWN.get(tag, DEVICE).fullmatch(text):
        text = _NEUTRAL.get(space, "RGB") if tag == b"desc" else _NO_COPYRIGHT
    return icc_texts.written(text, tag, new=read.header[8] >= 4)


def _plain_header(header: bytes) -> bytes:
    """Return a header with what conversions depend on, and the rest blank."""
    flags, intent = header[47] & 3, header[67] & 3
    return b"".join(
        (
            bytes(8),  # the length, which is known later, and the preferred engine
            header[8:10] + bytes(2),
            header[12:24],  # class, colours, connection space
            struct.pack(">6H", 2000, 1, 1, 0, 0, 0),
            b"acsp" + bytes(4),  # platform
            bytes((0, 0, 0, flags)) + bytes(8),  # maker and model of the device
            bytes(7) + bytes((header[63] & 15,)),  # transparency, gloss, negative, gray
            bytes((0, 0, 0, intent)),
            _D50,
            bytes(_HEADER - 80),  # creator, identity
        )
    )


def _written(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Lay out a profile; tags of equal content share their place."""
    start = _HEADER + 4 + _ENTRY * len(tags)
    table, body, places = struct.pack(">L", len(tags)), b"", dict[bytes, int]()
    for tag, content in tags.items():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
        table += tag + struct.pack(">LL", places[content], len(content))
    return struct.pack(">L", start + len(body)) + header[4:] + table + body
