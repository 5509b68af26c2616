"""What became of the photos of a run. Standard library only: the CLI imports this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from ulecli.errors import ExitCode
from ulecli.protection.config import ProtectConfig


class Status(StrEnum):
    """What became of one photo."""

    WRITTEN = "written"
    PLANNED = "planned"  # --dry-run: would be written
    UNCHANGED = "unchanged"  # written by an earlier run; neither photo nor settings nor result has changed
    SKIPPED = "skipped"  # deliberately left alone; the reason says why
    FAILED = "failed"


@dataclass(frozen=True)
class Photo:
    """A file that holds a photo of a supported format.

    Attributes:
        path: The file.
        source: What the user named: the file itself or a folder above it.
        format: Pillow's name of it, judged by the first bytes.
        within: Where it goes below an output folder, if that does not follow from `source`.
    """

    path: Path
    source: Path
    format: str
    within: Path | None = None


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of one photo.

    Attributes:
        source: The photo as found.
        target: Where the protected photo lies (or would lie); None where there is none.
        status: Written, planned, unchanged, skipped or failed.
        reason: Why it was skipped or failed, or a remark on one that was written; else empty.
        format: Pillow's name of the format, judged by content ("JPEG"); empty where it is not known.
        width: Of the upright picture, in pixels.
        height: Of the upright picture, in pixels.
        identity: Whose photo it is; empty where it came to no perturbation.
        direction: Name of the direction that the photo is moved along in the surrogate's features, 16
            hexadecimal digits; empty where there is none, or where it is not known yet.
        max_change: How far the perturbation moves a channel before encoding, in levels; never above epsilon.
            Where black or white is reached, a channel moves less.
        psnr_db: Peak signal-to-noise ratio of the perturbation in dB, at least; infinite if there is none.
        max_change_on_disk: Largest change of any channel of RGB between the source and the written file, both
            read from the disk; above epsilon only for lossy formats. None if it was not read back.
        psnr_db_on_disk: Peak signal-to-noise ratio of the same two in dB. None if it was not read back.
        seconds: Wall-clock time from opening the source to the finished target.
        recognised: Whether the surrogate sees the protected picture moved along its direction; None if it was
            not asked.
    """

    source: Path
    target: Path | None
    status: Status
    reason: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    identity: str = ""
    direction: str = ""
    max_change: int | None = None
    psnr_db: float | None = None
    max_change_on_disk: int | None = None
    psnr_db_on_disk: float | None = None
    seconds: float = 0.0
    recognised: bool | None = None

    def recorded(self) -> dict[str, Any]:
        """Return all but the paths, for the ledger."""
        names = [field.name for field in fields(self) if field.name not in ("source", "target")]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restored(cls, source: Path, target: Path | None, record: Mapping[str, Any]) -> Self:
        """Put an outcome together again; what an older version did not record keeps its default."""
        names = {field.name for field in fields(cls)} - {"source", "target"}
        known = {name: record[name] for name in names & set(record)}
        return cls(source, target, **{**known, "status": Status(known["status"])})


@dataclass(frozen=True)
class Start:
    """What a run is about to do.

    Attributes:
        photos: How many there are, those that an earlier run has done included.
        roots: Folders of the output.
        again: An earlier run has done some of the output.
    """

    photos: int
    roots: tuple[Path, ...]
    again: bool


@dataclass(frozen=True)
class OrphanedCopy:
    """A protected copy whose photo was deleted.

    Attributes:
        source: Where the photo lay.
        target: The copy.
        removed: It was removed, or would be but for --dry-run.
        reason: Why it stays although it shall be removed; else empty.
    """

    source: Path
    target: Path
    removed: bool = False
    reason: str = ""


@dataclass(frozen=True)
class ProtectReport:
    """A whole run of `ulecli protect`.

    Attributes:
        config: What was asked.
        device: What did the work, in words ("cpu (onnxruntime 1.22)").
        surrogate: Name and first digits of the sha256 of the surrogate.
        outcomes: One for every photo found, sorted by source.
        identities: Names of the identities that photos belong to, sorted.
        notes: What the user should know beyond the outcomes, one line each.
        seconds: Wall-clock time of the run.
        left: Photos that the run was stopped before.
        orphans: Copies whose photos were deleted, sorted by target.
    """

    config: ProtectConfig
    device: str
    surrogate: str
    outcomes: tuple[PhotoOutcome, ...]
    identities: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    left: int = 0
    orphans: tuple[OrphanedCopy, ...] = ()

    def count(self, status: Status | str) -> int:
        """Count the photos that ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def exit_code(self) -> ExitCode:
        """0 if no photo failed, else 3."""
        return ExitCode.SOME_FAILED if self.count(Status.FAILED) else ExitCode.OK
