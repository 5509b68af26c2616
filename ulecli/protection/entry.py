"""What a ledger tells of one photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ulecli import __version__
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.system.fingerprint import Stamp


@dataclass(frozen=True)
class Entry:
    """One finished photo.

    Attributes:
        source: Where the photo lay.
        target: Where its protected copy was written.
        source_stamp: The photo's.
        target_stamp: The copy's.
        parameters: What decides the pixels, as JSON: epsilon, mask, code, surrogate, how the file is read.
        version: Of ulecli.
        outcome: What was told of it (`PhotoOutcome` without the paths).
        finished: When, in seconds since 1970.
    """

    source: Path
    target: Path
    source_stamp: Stamp
    target_stamp: Stamp
    parameters: str
    outcome: Mapping[str, Any]
    version: str = __version__
    finished: float = 0.0


_TOLD = [field.name for field in fields(PhotoOutcome) if field.name not in ("source", "target")]


def told(outcome: PhotoOutcome) -> dict[str, Any]:
    """Return an outcome without its paths, for `Entry.outcome`."""
    return {name: getattr(outcome, name) for name in _TOLD}


def outcome_of(entry: Entry) -> PhotoOutcome:
    """Return what was told of a finished photo."""
    return outcome_from(entry.source, entry.target, entry.outcome)


def outcome_from(source: Path, target: Path | None, words: Mapping[str, Any]) -> PhotoOutcome:
    """Put an outcome together again; what an older version did not tell keeps its default."""
    known = {name: words[name] for name in _TOLD if name in words}
    return PhotoOutcome(source, target, **{**known, "status": Status(known["status"])})
