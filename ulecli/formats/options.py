"""How a photo's file is read, and what becomes of its metadata.

Standard library only: the command line imports this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetadataMode(StrEnum):
    """What becomes of the data in a photo's file that are not pixels."""

    PRIVATE = "private"  # colour profile, date and camera stay; places, persons, serial numbers go
    KEEP = "keep"
    STRIP = "strip"


@dataclass(frozen=True)
class Reading:
    """How far a photo's file is read.

    Attributes:
        max_pixels: Pictures of more pixels are refused by their header; None means the codec's limit.
        first_frame: Take the first picture of an animation or of several pages, instead of skipping it.
        metadata: What becomes of the data that are not pixels.
    """

    max_pixels: int | None = None
    first_frame: bool = False
    metadata: MetadataMode = MetadataMode.PRIVATE
