"""Colour profiles for the tests of metadata: that of sRGB, and one that names the owner of a screen."""

from __future__ import annotations

import struct

from PIL import ImageCms

_MADE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB = _MADE[:24] + bytes.fromhex("07ea0001000100000000 0000") + _MADE[36:]  # not made at this moment
WHITE = b"XYZ \0\0\0\0" + bytes.fromhex("0000f6d6000100000000d32d")
NAME = "Anna Lindqvist's iMac"


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    """Read the tags of a profile, by the book."""
    entries = [
        struct.unpack_from(">4sLL", profile, 132 + 12 * n)
        for n in range(int.from_bytes(profile[128:132], "big"))
    ]
    return {tag: profile[start : start + length] for tag, start, length in entries}


def laid_out(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body, start = struct.pack(">L", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">LL", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    return struct.pack(">L", start + len(body)) + header[4:128] + table + body


def multi(*texts: str) -> bytes:
    """A text of version 4, in several languages."""
    head, body = struct.pack(">4sLLL", b"mluc", 0, len(texts), 12), b""
    for text in texts:
        units = text.encode("utf-16-be")
        head += struct.pack(">4sLL", b"enUS", len(units), 16 + 12 * len(texts) + len(body))
        body += units
    return head + body


def plain(text: str) -> bytes:
    return b"text\0\0\0\0" + text.encode() + b"\0"


def old(text: str, unicode: str = "", macintosh: str = "") -> bytes:
    """A description of version 2: ASCII, Unicode, Macintosh."""
    units = unicode.encode("utf-16-be")
    head = b"desc\0\0\0\0" + struct.pack(">L", len(text) + 1) + text.encode() + b"\0"
    mac = macintosh.encode()
    return head + struct.pack(">LL", 0, len(units) // 2) + units + struct.pack(">HB67s", 0, len(mac), mac)


def screen(version: int = 4) -> bytes:
    """The profile that an operating system made of somebody's screen."""
    header = bytearray(SRGB[:128])
    header[4:8], header[8] = b"argl", version
    header[24:36] = struct.pack(">6H", 2024, 5, 1, 12, 34, 56)
    header[48:56], header[80:84], header[84:100] = b"DEL ABC1", b"Anna", b"0123456789abcdef"
    colours = {tag: value for tag, value in tags_of(SRGB).items() if tag not in (b"desc", b"cprt")}
    text = multi if version == 4 else old
    said = {
        b"desc": text("Display P3", NAME) if version == 4 else old("sRGB", NAME, NAME),
        b"cprt": multi("Anna, 2024") if version == 4 else plain("Anna, 2024"),
        b"dmnd": text("Dell"),
        b"dmdd": text("ANNA-LAPTOP, U2720Q #ABC1234567"),
        b"mmod": b"mmod" + bytes(8) + b"ABC1" + bytes(16),
        b"meta": b"dict" + bytes(8) + "EDID_serial ABC1234567".encode("utf-16-be"),
        b"targ": plain('CTI3 DESCRIPTOR "measured by anna"'),
        b"vcgt": b"vcgt" + bytes(4) + bytes(range(64)),
        b"MS00": b"MS10" + bytes(4) + NAME.encode("utf-16-be"),
        b"anna": plain(NAME),
    }
    return laid_out(bytes(header), said | colours)
