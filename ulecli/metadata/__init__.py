"""The metadata of files: the mark of a protected picture, and leaks.

What a protected file holds of its source's metadata is chosen in `ulecli.formats.metadata.policy`.
"""

from __future__ import annotations

from pathlib import Path

from ulecli.formats.metadata.leaks import leaks_of, shows_more
from ulecli.formats.metadata.policy import Carried, carried, merged
from ulecli.formats.metadata.xmp import Mark, mark_of
from ulecli.formats.options import MetadataMode as Mode
from ulecli.metadata.containers import blocks

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
    """Name what a file reveals beyond what the mode `private` writes; empty if nothing.

    Raises:
        OSError: It can't be read.
    """
    found: dict[str, None] = {}
    for block in blocks(path, whole=True):
        content = path.read_bytes() if block.kind == "TIFF" else block.content
        found |= dict.fromkeys(leaks_of(block.kind, content))
    return list(found)
