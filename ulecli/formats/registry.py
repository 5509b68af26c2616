"""The formats that are protected: one line here and one file each.

The first bytes of a file say which it is of, never its name.
"""

from __future__ import annotations

from ulecli.formats import foreign
from ulecli.formats.avif import AVIF
from ulecli.formats.bmp import BMP
from ulecli.formats.format import Format
from ulecli.formats.heic import HEIC
from ulecli.formats.jpeg import JPEG
from ulecli.formats.png import PNG
from ulecli.formats.tiff import TIFF
from ulecli.formats.webp import WEBP

FORMATS: dict[str, Format] = {
    "JPEG": JPEG,
    "PNG": PNG,
    "WEBP": WEBP,
    "TIFF": TIFF,
    "BMP": BMP,
    "AVIF": AVIF,
    "HEIC": HEIC,
}

SUFFIXES = {name: format.suffixes for name, format in FORMATS.items()}
"""The formats that are protected, and the name endings that fit each; the first is the usual one."""

PICTURE_SUFFIXES = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {*foreign.SUFFIXES}
"""Name endings that promise a picture: a file that does not keep the promise is reported."""

SUPPORTED = "JPEG, PNG, WebP, TIFF, BMP, AVIF and HEIC are supported"

HEAD = 64
"""First bytes of a file that are enough to recognise its format."""


def sniff(head: bytes) -> str:
    """Name the picture format that a file holds.

    Args:
        head: Its first bytes: 18 at least, `HEAD` to tell AVIF from HEIC where the first brand is of both.

    Returns:
        A key of `FORMATS`, the name of a format that is not supported, or "" if none is known.
    """
    if name := foreign.name_of(head):
        return name
    return next((name for name, format in FORMATS.items() if format.accepts(head)), "")


def missing(format: str) -> str:
    """Say what has to be installed before a supported format can be read; empty if nothing."""
    return FORMATS[format].missing() if format in FORMATS else ""
