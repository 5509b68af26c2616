"""What an earlier run left to do for one photo: all, nothing, or something that only the user can decide."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ulecli.errors import shown
from ulecli.formats.image_data import image_data_sha256
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import file_named
from ulecli.protection.entry import Entry
from ulecli.protection.ledger import Ledger
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.task import Task
from ulecli.system import paths
from ulecli.system.fingerprint import Fingerprint, file_sha256, fingerprint_of, is_unchanged


@dataclass(frozen=True)
class Due:
    """A photo that shall be protected now.

    Attributes:
        aside: What lies at the target has been changed by somebody, and is moved out of the way.
    """

    aside: bool = False


@dataclass(frozen=True)
class _Copy:
    """A copy that shows what a run has written.

    Attributes:
        fingerprint: Of the file as it is now.
        edited: Its pixels are those that were written, and something beside them is not.
    """

    fingerprint: Fingerprint
    edited: bool


def judge(task: Task, ledger: Ledger | None, config: ProtectConfig) -> Due | PhotoOutcome:
    """Decide whether a photo shall be protected now; if not, return its outcome.

    Sizes and times are looked at first; a file is only read where they have changed. A copy of which a tool
    has changed the metadata alone is still the one that was written.

    Raises:
        OSError: A file can't be read.
        LedgerError: The ledger can't be read or written.
    """
    entry = ledger.by_target(task.target) if ledger else None
    if config.in_place:
        return _in_place(task, None if config.dry_run else ledger, entry)
    path = task.target
    if not os.path.lexists(path):
        return Due()
    if paths.is_folder(path):
        return _left(task, Status.FAILED, f"the folder {shown(path)} is in the way")
    if entry is None:
        if config.overwrite:
            return Due()
        reason = f"{shown(path)} exists and is not of an earlier run; --overwrite replaces it"
        return _left(task, Status.FAILED, reason)
    source = _source(task.photo.path, entry)
    if source is None and file_named(config) and entry.source != _absolute(task) and not config.overwrite:
        reason = f"{shown(path)} was made of {shown(entry.source)}; --overwrite replaces it"
        return _left(task, Status.FAILED, reason)
    copy = _copy(task, entry)
    if copy is None or config.force or entry.parameters != task.parameters or source is None:
        return Due(aside=(copy is None or copy.edited) and not config.overwrite)
    return _unchanged(task, None if config.dry_run else ledger, entry, source, copy)


def _in_place(task: Task, ledger: Ledger | None, entry: Entry | None) -> Due | PhotoOutcome:
    if paths.is_link(task.target):
        reason = "is a link; --in-place changes only files that lie where they were named"
        return _left(task, Status.SKIPPED, reason)
    copy = _copy(task, entry) if entry else None
    if entry is None or copy is None:
        return Due()
    if entry.parameters != task.parameters:
        reason = "was protected in place with other settings; put the original back to have it made anew"
        return _left(task, Status.SKIPPED, reason)
    return _unchanged(task, ledger, entry, entry.source_fingerprint, copy)


def _source(photo: Path, entry: Entry) -> Fingerprint | None:
    """Return the fingerprint of a photo if it holds what it held when it was protected; None if it does not.

    Its time of change counts, since tools may put back its time of modification. Where that moved, or was
    not recorded, which older versions did not, the file is read.
    """
    before, stat = entry.source_fingerprint, photo.stat()
    surely_same = before.ctime_ns and before.fresh(stat)
    if not surely_same and (stat.st_size != before.size or file_sha256(photo) != before.sha256):
        return None
    return Fingerprint(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, before.sha256)


def _copy(task: Task, entry: Entry) -> _Copy | None:
    """Find out whether a copy still shows what was written; None if it does not."""
    path, before = task.target, entry.target_fingerprint
    if is_unchanged(path, before):
        return _Copy(fingerprint_of(path, with_ctime=True, sha256=before.sha256), entry.edited)
    image = image_data_sha256(path, task.photo.format) if entry.image_sha256 else None
    same = image is not None and image == entry.image_sha256
    return _Copy(fingerprint_of(path, with_ctime=True), True) if same else None


def _unchanged(
    task: Task, ledger: Ledger | None, entry: Entry, source: Fingerprint, copy: _Copy
) -> PhotoOutcome:
    outcome = entry.outcome if copy.edited is entry.edited else {**entry.outcome, "edited": copy.edited}
    now = replace(
        entry,
        source=_absolute(task),
        source_fingerprint=source,
        target_fingerprint=copy.fingerprint,
        outcome=outcome,
    )
    if ledger and now != entry:  # touched or moved, not changed: the next run need not read it again
        ledger.finish(now)
    return replace(
        entry.as_outcome(),
        source=task.photo.path,
        target=task.target,
        status=Status.UNCHANGED,
        reason="",
        seconds=0.0,
    )


def _absolute(task: Task) -> Path:
    return Path(os.path.abspath(task.photo.path))  # noqa: PTH100 - a link is not what it leads to


def _left(task: Task, status: Status, reason: str) -> PhotoOutcome:
    return PhotoOutcome(task.photo.path, None, status, reason, task.photo.format)
