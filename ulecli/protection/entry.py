"""What a ledger records of one photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulecli import __version__
from ulecli.protection.outcome import PhotoOutcome
from ulecli.system.fingerprint import Fingerprint


@dataclass(frozen=True)
class Entry:
    """One finished photo.

    Attributes:
        source: Where the photo lay.
        target: Where its protected copy was written.
        source_fingerprint: The photo's.
        target_fingerprint: The copy's.
        parameters: What decides the pixels, as JSON: epsilon, strength, direction, surrogate, how the file
            is read.
        version: Of ulecli.
        outcome: `PhotoOutcome.recorded`, and "edited" if a tool has changed the copy beside its pixels.
        finished: When, in seconds since 1970.
        image_sha256: Of the coded pixels of the copy (`ulecli.formats.image_data`); empty if not known.
    """

    source: Path
    target: Path
    source_fingerprint: Fingerprint
    target_fingerprint: Fingerprint
    parameters: str
    outcome: Mapping[str, Any]
    version: str = __version__
    finished: float = 0.0
    image_sha256: bytes = b""

    @property
    def edited(self) -> bool:
        """The copy is no longer what a run has written, only its pixels are."""
        return bool(self.outcome.get("edited"))

    def as_outcome(self) -> PhotoOutcome:
        """Return what became of the photo when it was protected."""
        return PhotoOutcome.restored(self.source, self.target, self.outcome)
