"""What a protected file tells beside its pixels: `--metadata private|keep|strip`, the mark, and leaks.

`private` keeps the colour profile and the EXIF that tells date, camera and exposure. `keep` keeps all but
what shows the picture unprotected or is wrong once it is upright. `strip` keeps the colour profile. In every
mode the file is marked as protected, with the version of ulecli and the bound, wherever the format has room.
"""

from __future__ import annotations

from pathlib import Path

from ulecli import exif
from ulecli.metadata.carried import Carried, Mode, carried, merged
from ulecli.metadata.containers import blocks
from ulecli.metadata.xmp import Mark, mark_of, told

__all__ = [
    "Carried",
    "Mark",
    "Mode",
    "carried",
    "is_protected",
    "leaks",
    "mark_in",
    "merged",
    "shows_more",
]

_PICTURES = ("embedded picture", "thumbnail", "picture in the picture", "second page", "JFIF thumbnail")


def mark_in(path: Path) -> Mark | None:
    """Return the mark of a protected file; None if it has none. Reads no pixels.

    Raises:
        OSError: It can't be read.
    """
    for block in blocks(path):
        if block.kind == "XMP" and (mark := mark_of(block.content)):
            return mark
    return None


def is_protected(path: Path) -> bool:
    """Tell whether a file bears the mark of a protected picture.

    Raises:
        OSError: It can't be read.
    """
    return mark_in(path) is not None


def leaks(path: Path) -> list[str]:
    """Name what a file tells beyond what the mode `private` writes; empty if nothing.

    Raises:
        OSError: It can't be read.
    """
    found: dict[str, None] = {}
    for block in blocks(path, whole=True):
        try:
            if block.kind == "EXIF":
                found |= dict.fromkeys(f"EXIF {name}" for name in exif.withheld(block.content))
            elif block.kind == "TIFF":
                found |= dict.fromkeys(f"TIFF {name}" for name in exif.withheld(path.read_bytes(), file=True))
            elif block.kind == "XMP":
                found |= dict.fromkeys(f"XMP {name}" for name in told(block.content))
            else:
                found[block.kind] = None
        except exif.BadExif:
            found[f"{block.kind} that can't be followed"] = None
    return list(found)


def shows_more(leak: str) -> bool:
    """Tell whether what `leaks` names may show the picture unprotected, which no mode lets through."""
    return leak.endswith((*_PICTURES, "behind the picture", "index of more pictures"))
