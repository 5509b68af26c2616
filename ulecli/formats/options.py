"""What a user chooses about reading and writing files; the command line imports it, so stdlib only."""

from __future__ import annotations

from enum import StrEnum


class MetadataMode(StrEnum):
    """How much of a photo's metadata goes into the protected file."""

    # The colour profile without names, date, camera, exposure, and facts that viewers need.
    PRIVATE = "private"
    # Everything but embedded pictures and what the new file can't hold.
    KEEP = "keep"
    # The colour profile without names, and nothing else.
    STRIP = "strip"
