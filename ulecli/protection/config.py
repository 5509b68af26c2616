"""What one run of `ulecli protect` was asked to do. Standard library only: the CLI imports this."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ulecli.errors import UsageError
from ulecli.formats.options import Reading
from ulecli.imaging.strength import Strength
from ulecli.system.devices import Device
from ulecli.system.worker_kinds import WorkerKind, check_workers
from ulecli.units import DEFAULT_EPSILON, check_epsilon


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
class ProtectConfig:
    """Everything that one run of `ulecli protect` was asked to do.

    Attributes:
        sources: Files and folders, as named by the user.
        output: Root of the protected tree; None means the sibling `NAME-protected` of each source.
        epsilon: L-infinity bound on the change of every channel of every pixel, in levels (1 to 32).
        strength: How visible the change may be; smooth parts of a photo are changed less than others.
        identity: Whose photos these are; with the user's key it chooses where they are moved to.
        identity_from_folder: Take the identity from the name of each photo's folder instead.
        key_file: The user's key; None means the one in the platform's configuration folder.
        surrogate: Name of the surrogate whose gradients shape the perturbation.
        device: Where the gradient steps run.
        jobs: Photos in work at the same time, at least 1; with Ray 0 for as many as it has cores.
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
        prune: Remove copies whose photos were deleted.
        workers: One of `WorkerKind`, who protects; Ray does it on CPUs.
        ray_address: HOST:PORT of the head of a Ray cluster, whose machines have the folders of photos in
            common, or "auto" for the one that runs here; "" to start one for this run.

    Raises:
        UsageError: a value is out of range, there is no source, or two options contradict each other.
    """

    sources: tuple[Path, ...]
    output: Path | None = None
    epsilon: int = DEFAULT_EPSILON
    strength: Strength = Strength.DEFAULT
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
    prune: bool = False
    workers: str = WorkerKind.PROCESSES
    ray_address: str = ""

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_workers(self.workers, self.ray_address)
        on_ray = self.workers == WorkerKind.RAY
        if not isinstance(self.jobs, int):
            raise UsageError(f"--jobs is {self.jobs!r}, but takes a whole number")
        if self.jobs < (0 if on_ray else 1):
            raise UsageError(f"--jobs is {self.jobs}, but at least one photo must be in work at a time")
        if on_ray and self.device not in (Device.AUTO, Device.CPU):
            raise UsageError(f"--workers ray protects on CPUs: leave out --device {self.device}")
        if on_ray:
            object.__setattr__(self, "device", Device.CPU)
        if not self.sources and not self.listed:
            raise UsageError("name at least one photo or folder to protect")
        if not self.identity:
            raise UsageError("--identity is empty; give it a name, for instance --identity ada")
        if not isinstance(self.identity, str):
            raise UsageError(f"--identity is {self.identity!r}, but takes a text")
        if not self.timeout >= 0:  # nor nan
            raise UsageError(f"--timeout is {self.timeout:g}, but it must be 0 (any time) or more seconds")
        if self.reading.max_pixels is not None and self.reading.max_pixels < 1:
            raise UsageError("--max-pixels must be at least 1")
        if self.in_place and self.output:
            raise UsageError("--in-place and --output contradict each other; leave one out")
        if self.in_place and self.prune:
            raise UsageError("--prune removes copies, and --in-place makes none; leave one out")
        if self.backup and not self.in_place:
            raise UsageError("--backup is for --in-place; without it the photos are never changed")


def check_in_place(in_place: bool, backup: Path | None, no_backup: bool) -> None:
    """See that nobody loses their photos who did not say so.

    Raises:
        UsageError: Photos are to be replaced, and it is not said what becomes of them; or it is said in vain.
    """
    if in_place and (backup is None) is not no_backup:
        raise UsageError(
            "--in-place replaces your photos: keep them in a folder with --backup DIR, or lose them with "
            "--no-backup (one of the two)"
        )
    if no_backup and not in_place:
        raise UsageError("--no-backup is for --in-place; without it the photos are never changed")
