"""What the blocks of metadata in a file reveal beyond what the mode `private` writes."""

from __future__ import annotations

from ulecli.formats.metadata import exif, icc, xmp
from ulecli.formats.metadata.embedded import Data
from ulecli.formats.metadata.exif_tags import PROFILE
from ulecli.formats.metadata.tiff_directories import BadExif, entries_of


def leaks_of(kind: str, content: Data) -> list[str]:
    """Name what one block reveals; empty if nothing. What can't be followed is named as such, never as clean.

    Args:
        kind: "EXIF", "XMP", "ICC" (a colour profile) or "TIFF" (the file itself is the block); a block of any
            other kind reveals something by being there, and is called by its kind.
        content: Its bytes.
    """
    try:
        if kind == "EXIF":
            return [f"EXIF {name}" for name in exif.withheld(content)]
        if kind == "TIFF":
            return [f"TIFF {name}" for name in exif.withheld(content, file=True)] + _profiles_of_tiff(content)
    except BadExif:
        return [f"{kind} that can't be followed"]
    if kind == "ICC":
        return [f"profile {name}" for name in icc.leaks(bytes(content))]
    if kind == "XMP":
        packet = bytes(content)
        found = [f"XMP {name}" for name in xmp.namespaces(packet)]
        return [*found, "XMP embedded picture"] if xmp.holds_picture(packet) else found
    return [kind]


def _profiles_of_tiff(content: Data) -> list[str]:
    profiles = [entry.value for entry in entries_of(content) if entry.tag == PROFILE and entry.length]
    return [leak for profile in profiles for leak in leaks_of("ICC", profile)]
