"""Formats that are recognised only to be refused by name, by their first bytes and their name endings."""

from __future__ import annotations

HEADS = (
    (b"GIF8", "GIF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop's format"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIRS", "camera raw (ORF)"),
    (b"MMOR", "camera raw (ORF)"),
    (b"IIU\0", "camera raw (RW2)"),
)
_CR2, _CR3 = b"CR", b"ftypcrx "

SUFFIXES = (".gif", ".jp2", ".jxl", ".avifs", ".heics", ".cr2")
"""Name endings that promise a picture: a file that does not keep the promise is reported."""


def name_of(head: bytes) -> str:
    """Name the format that is not supported by its first bytes; empty if none is known."""
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == _CR2:
        return "camera raw (CR2)"
    if head[4:12] == _CR3:
        return "camera raw (CR3)"
    return next((name for start, name in HEADS if head.startswith(start)), "")
