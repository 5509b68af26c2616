"""Watching folders: protect what is there, then what appears, until somebody says stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ulecli.errors import MissingExtra, NothingToDo, UsageError, install_extra, shown
from ulecli.perturb.perturber import Perturber
from ulecli.protection.config import ProtectConfig
from ulecli.protection.folder_changes import changes, files_below
from ulecli.protection.outcome import OrphanedCopy, PhotoOutcome, ProtectReport, Status
from ulecli.protection.run import OnOutcome, protect
from ulecli.system.worker_kinds import WorkerKind

QUIET = 2.0
"""Seconds that a file must keep its size and time before it is taken: who copies it may not have finished."""

LOOK_AGAIN = 3600.0
"""Seconds after which the folders are walked whole, for what a system's watch may have dropped."""


@dataclass
class _Seen:
    size: int
    mtime_ns: int
    since: float


class Waiting:
    """Files that have changed and may change further."""

    def __init__(self, quiet: float = QUIET, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait until each has been quiet for so many seconds of the clock."""
        self._quiet, self._clock = quiet, clock
        self._seen: dict[Path, _Seen | None] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Begin to wait for files."""
        for path in paths:
            self._seen.setdefault(path, None)

    def ready(self) -> list[Path]:
        """Return the files that are quiet and wait for them no longer; forget those that are gone."""
        found, now = [], self._clock()
        for path, seen in list(self._seen.items()):
            try:
                stat = path.stat()
            except OSError:
                del self._seen[path]
                continue
            if seen is None or (seen.size, seen.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
                self._seen[path] = _Seen(stat.st_size, stat.st_mtime_ns, now)
            elif now - seen.since >= self._quiet:
                del self._seen[path]
                found.append(path)
        return found


def watch(
    config: ProtectConfig,
    perturber: Perturber,
    stop: threading.Event,
    *,
    on_outcome: OnOutcome | None = None,
    on_remark: Callable[[str], None] = lambda words: None,
    quiet: float = QUIET,
) -> ProtectReport:
    """Protect the photos in the sources and then every one that appears or changes there.

    A source that goes, as with a disk that is unplugged, is waited for, and the others are watched meanwhile.

    Args:
        config: What to do; its sources are folders.
        perturber: What makes the perturbations.
        stop: Ends the watch when it is set; photos in work are finished.
        on_outcome: Called with each photo; after the first round only with those that there was work with.
        on_remark: Called with what the person should know at once: that a source is gone, or back.
        quiet: Seconds that a file must have kept its size and time.

    Returns:
        What became of every photo in the whole watch: what was protected counts as that once, however often
        it was looked at afterwards.

    Raises:
        UsageError: A source is no folder.
        MissingExtra: watchfiles is not installed.
        UleError: As `protect`, but for having nothing to do.
    """
    began = time.perf_counter()
    check_watchable(config)
    waiting = Waiting(quiet)
    latest: dict[Path, PhotoOutcome] = {}
    identities: set[str] = set()
    notes: dict[str, None] = {}
    orphans: dict[Path, OrphanedCopy] = {}
    looked: float | None = None
    for new in changes(config.sources, stop, quiet / 4, recursive=config.selection.recursive):
        for words in new.remarks:
            on_remark(words)
        notes |= dict.fromkeys(new.remarks)
        waiting.add(new.files)
        rest: ProtectReport | None = None
        if looked is None:
            rest = _round(config, perturber, stop, on_outcome)
            looked = time.monotonic()
        elif ready := waiting.ready():
            rest = _round(config, perturber, stop, _news(on_outcome), frozenset(ready))
        elif time.monotonic() - looked > LOOK_AGAIN:
            waiting.add(files_below(config.sources))
            looked = time.monotonic()
        if rest:
            _add(latest, rest.outcomes)
            orphans |= {one.target: one for one in rest.orphans}
            identities |= set(rest.identities)
            notes |= dict.fromkeys(rest.notes)
    return ProtectReport(
        config=config,
        device=perturber.device,
        surrogate=perturber.label,
        outcomes=tuple(latest[path] for path in sorted(latest)),
        identities=tuple(sorted(identities)),
        notes=tuple(notes),
        seconds=time.perf_counter() - began,
        orphans=tuple(orphans[path] for path in sorted(orphans)),
    )


def _add(latest: dict[Path, PhotoOutcome], outcomes: Iterable[PhotoOutcome]) -> None:
    """Note the newest outcome of each photo; one that this watch has protected stays so when seen again."""
    for outcome in outcomes:
        before = latest.get(outcome.source)
        seen_again = outcome.status is Status.UNCHANGED and before and before.status is Status.WRITTEN
        if not seen_again:
            latest[outcome.source] = outcome


def check_watchable(config: ProtectConfig) -> None:
    """Check that the sources are folders and nothing contradicts a watch.

    Raises:
        UsageError: A source is no folder, or an option contradicts a watch.
        MissingExtra: watchfiles is not installed.
    """
    for source in config.sources:
        if not source.is_dir():
            raise UsageError(f"--watch is for folders, and {shown(source)} is none")
    if config.listed or config.dry_run:
        raise UsageError("--watch goes neither with --files-from nor with --dry-run")
    if config.workers == WorkerKind.RAY:
        raise UsageError("--watch works on this machine alone: leave out --workers ray")
    if find_spec("watchfiles") is None:
        raise MissingExtra(f"--watch needs watchfiles: {install_extra('watch')}")


def _news(on_outcome: OnOutcome | None) -> OnOutcome:
    def report(outcome: PhotoOutcome, total: int) -> None:
        if on_outcome and outcome.status is not Status.UNCHANGED:
            on_outcome(outcome, total)

    return report


def _round(
    config: ProtectConfig,
    perturber: Perturber,
    stop: threading.Event,
    on_outcome: OnOutcome | None,
    only: frozenset[Path] | None = None,
) -> ProtectReport | None:
    try:
        return protect(config, perturber, on_outcome=on_outcome, should_stop=stop.is_set, only=only)
    except NothingToDo:
        return None
