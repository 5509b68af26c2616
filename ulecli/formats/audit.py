"""What a picture file says beside its pixels, marks and leaks, from its structure: no pixel is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ulecli.formats.format import Block, Unfollowable
from ulecli.formats.metadata.leaks import leaks_of
from ulecli.formats.metadata.xmp import Mark, mark_of
from ulecli.formats.registry import FORMATS, HEAD, sniff
from ulecli.system.mapped_file import mapped

_PICTURES = (
    *("embedded picture", "thumbnail", "picture in the picture", "second page", "JFIF thumbnail"),
    *("further picture", "behind the picture", "index of more pictures"),
)
_LOST = "structure that can't be followed"


def blocks(path: Path, *, whole: bool = False) -> Iterator[Block]:
    """Yield what a picture file holds beside its pixels, and a last block if its structure can't be followed.

    Args:
        path: The file. One of no known format has such a structure, too.
        whole: Look behind the beginning of the pixels; that takes reading all of it.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        format = FORMATS.get(sniff(file.read(HEAD)))
        if format is None:
            yield Block(f"{_LOST} at byte 0")
            return
        with mapped(file) as data:
            try:
                yield from format.blocks(data, whole)
            except Unfollowable as error:
                yield Block(f"{_LOST} at byte {error.place}")


def mark_in(path: Path) -> Mark | None:
    """Return the mark of a protected file; None if it has none. Reads no pixels.

    Raises:
        OSError: It can't be read.
    """
    for block in blocks(path):
        if block.kind == "XMP" and (mark := mark_of(bytes(block.content))):
            return mark
    return None


def is_protected(path: Path) -> bool:
    """Return whether a file bears the mark of a protected picture.

    Raises:
        OSError: It can't be read.
    """
    return mark_in(path) is not None


def is_lossless(path: Path, format: str) -> bool:
    """Return whether a file of a format holds every level as it was given to the encoder.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file, mapped(file) as data:
        return FORMATS[format].lossless(data)


def leaks(path: Path) -> list[str]:
    """Name what a file says beyond what the mode `private` writes; empty if nothing.

    What can't be followed is named as such: nobody knows what it says.

    Raises:
        OSError: It can't be read.
    """
    found: dict[str, None] = {}
    for block in blocks(path, whole=True):
        found |= dict.fromkeys(leaks_of(block.kind, block.content))
    return list(found)


def shows_more(leak: str) -> bool:
    """Return whether what `leaks` names may show the picture unprotected, which no mode lets through."""
    return leak.endswith(_PICTURES) or leak.startswith(_LOST)
