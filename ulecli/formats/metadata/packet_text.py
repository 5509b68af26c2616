"""The encodings that a packet of XMP may be in (ISO 16684-1, 7.3)."""

from __future__ import annotations

_ENCODINGS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""How a packet begins in each encoding, with a byte order mark or without."""


def decoded(packet: bytes) -> str:
    """Return the text of a packet without what fills its end.

    Raises:
        UnicodeDecodeError: It is in none of the encodings.
    """
    encoding = next((name for start, name in _ENCODINGS if packet.startswith(start)), "utf-8")
    unit = {"utf-16": 2, "utf-32": 4}.get(encoding[:6], 1)
    # Some writers end the packet with a zero, which is half a character in UTF-16.
    whole = packet[: len(packet) - len(packet) % unit]
    return whole.decode(encoding).strip("\ufeff\0 \t\r\n")
