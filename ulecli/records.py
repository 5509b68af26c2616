"""The records that the rooms of the house hand to each other. Standard library only: the CLI imports this."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ulecli.errors import ExitCode, UsageError
from ulecli.units import check_epsilon


class Device(StrEnum):
    """Where the gradient steps run. `auto` takes the best there is; every other value is a demand."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Status(StrEnum):
    """What became of one photo."""

    WRITTEN = "written"
    PLANNED = "planned"  # --dry-run: would be written
    UNCHANGED = "unchanged"  # written by an earlier run; neither photo nor settings nor result has changed
    SKIPPED = "skipped"  # deliberately left alone; the reason says why
    FAILED = "failed"


class Metadata(StrEnum):
    """What becomes of the data in a photo's file that are not pixels."""

    PRIVATE = "private"  # colour profile, date and camera stay; places, persons, serial numbers go
    KEEP = "keep"
    STRIP = "strip"


@dataclass(frozen=True)
class Selection:
    """Which of the files that lie under the sources are meant.

    A pattern is a shell glob, compared without regard to case: one without a slash with the name, any with
    the path below the source, written with slashes. A `*` also stands for slashes.

    Attributes:
        include: Where there are any, a file is taken only if one of them fits.
        exclude: A file is left out if one of them fits it or a folder above it.
        recursive: Take the folders below a source too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = True


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
    metadata: Metadata = Metadata.PRIVATE


@dataclass(frozen=True)
class ProtectConfig:
    """Everything that one run of `ulecli protect` was asked to do.

    Attributes:
        sources: Files and folders, as named by the user.
        output: Root of the protected tree; None means the sibling `NAME-protected` of each source.
        epsilon: L-infinity bound on the change of every channel of every pixel, in levels (1 to 32).
        mask: Change smooth parts of a photo less than epsilon allows.
        identity: Whose photos these are; with the user's key it chooses the code of the perturbation.
        identity_from_folder: Take the identity from the name of each photo's folder instead.
        key_file: The user's key; None means the one in the platform's configuration folder.
        surrogate: Name of the surrogate whose gradients shape the perturbation.
        device: Where the gradient steps run.
        jobs: Photos in work at the same time, at least 1.
        dry_run: Say what would be done and write nothing.
        verify: Read every written photo back and measure it, not just a sample.
        listed: Files named in a list; a relative path is kept below `output`.
        selection: Which files under the sources are meant.
        reading: How the files are read and what becomes of their metadata.
        in_place: Put the protected photos in the place of the photos.
        backup: With `in_place`: where the photos go before; None means that they are lost.
        ledger: Where the ledger lies; None means in each root of the output.
        overwrite: Replace files in the way that no run of this program has written.
        force: Make again what is done and unchanged.
        timeout: Seconds that one photo may take; 0 means any.

    Raises:
        UsageError: a value is out of range, there is no source, or two options contradict each other.
    """

    sources: tuple[Path, ...]
    output: Path | None = None
    epsilon: int = 8
    mask: bool = False
    identity: str = "me"
    identity_from_folder: bool = False
    key_file: Path | None = None
    surrogate: str = "photo"
    device: Device = Device.AUTO
    jobs: int = 1
    dry_run: bool = False
    verify: bool = False
    listed: tuple[Path, ...] = ()
    selection: Selection = field(default_factory=Selection)
    reading: Reading = field(default_factory=Reading)
    in_place: bool = False
    backup: Path | None = None
    ledger: Path | None = None
    overwrite: bool = False
    force: bool = False
    timeout: float = 300.0

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        if self.jobs < 1:
            raise UsageError(f"--jobs is {self.jobs}, but at least one photo must be in work at a time")
        if not self.sources and not self.listed:
            raise UsageError("name at least one photo or folder to protect")
        if not self.identity:
            raise UsageError("--identity is empty; give it a name, for instance --identity ada")
        if self.timeout < 0:
            raise UsageError(f"--timeout is {self.timeout:g}, but it must be 0 (any time) or more seconds")
        if self.reading.max_pixels is not None and self.reading.max_pixels < 1:
            raise UsageError("--max-pixels must be at least 1")
        if self.in_place and self.output:
            raise UsageError("--in-place and --output contradict each other; leave one out")
        if self.backup and not self.in_place:
            raise UsageError("--backup is for --in-place; without it the photos are never changed")


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
class IdentityCode:
    """The code that the photos of one identity carry in a run.

    Attributes:
        name: The identity as the user named it.
        code: 0 to K-1.
        moved: Another identity of the run held its own code, so it carries its next one.
    """

    name: str
    code: int
    moved: bool = False


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of one photo.

    Attributes:
        source: The photo as found.
        target: Where the protected photo lies (or would lie); None where there is none.
        status: Written, planned, unchanged, skipped or failed.
        reason: Why it was skipped or failed, or a remark on one that was written; else empty.
        format: Pillow's name of the format, judged by content ("JPEG"); empty where it could not be told.
        width: Of the upright picture, in pixels.
        height: Of the upright picture, in pixels.
        identity: Whose photo it is; empty where it came to no perturbation.
        code: The code of the identity that the perturbation carries; -1 where there is none.
        max_change: How far the perturbation moves a channel before encoding, in levels; never above epsilon.
            Where black or white is reached, a channel moves less.
        psnr_db: Peak signal-to-noise ratio of the perturbation in dB, at least; infinite if there is none.
        max_change_on_disk: Largest change of any channel of RGB between the source and the written file, both
            read from the disk; above epsilon only for lossy formats. None if it was not read back.
        psnr_db_on_disk: Peak signal-to-noise ratio of the same two in dB. None if it was not read back.
        seconds: Wall-clock time from opening the source to the finished target.
    """

    source: Path
    target: Path | None
    status: Status
    reason: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    identity: str = ""
    code: int = -1
    max_change: int | None = None
    psnr_db: float | None = None
    max_change_on_disk: int | None = None
    psnr_db_on_disk: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class ProtectReport:
    """A whole run of `ulecli protect`.

    Attributes:
        config: What was asked.
        device: What did the work, in words ("cpu (onnxruntime 1.22)").
        surrogate: Name and first digits of the sha256 of the surrogate.
        outcomes: One for every photo found, sorted by source.
        identities: Who carries which code, sorted by name; empty if there was no key in a dry run.
        notes: What the user should know beyond the outcomes, one line each.
        seconds: Wall-clock time of the run.
        left: Photos that the run was stopped before.
    """

    config: ProtectConfig
    device: str
    surrogate: str
    outcomes: tuple[PhotoOutcome, ...]
    identities: tuple[IdentityCode, ...]
    notes: tuple[str, ...]
    seconds: float
    left: int = 0

    def count(self, status: Status) -> int:
        """Count the photos that ended so."""
        return sum(outcome.status is status for outcome in self.outcomes)

    @property
    def exit_code(self) -> ExitCode:
        """0 if no photo failed, else 3."""
        return ExitCode.SOME_FAILED if self.count(Status.FAILED) else ExitCode.OK
