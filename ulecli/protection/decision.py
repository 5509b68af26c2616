"""What an earlier run left to do for one photo: all, nothing, or something that only the user can decide."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ulecli.errors import shown
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import Target
from ulecli.protection.entry import Entry, outcome_of
from ulecli.protection.ledger import Ledger
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.system.fingerprint import Stamp, stamp, still


@dataclass(frozen=True)
class Todo:
    """A photo that shall be protected now.

    Attributes:
        aside: What lies at the target has been changed by somebody, and is moved out of the way.
    """

    aside: bool = False


def judge(
    target: Target, parameters: str, ledger: Ledger | None, config: ProtectConfig
) -> Todo | PhotoOutcome:
    """Decide whether a photo shall be protected now; if not, return its outcome.

    Sizes and times are looked at first; a file is only read where they have changed.

    Raises:
        OSError: A file can't be read.
        LedgerError: The ledger can't be read or written.
    """
    entry = ledger.by_target(target.path) if ledger else None
    if config.in_place:
        return _in_place(target, parameters, None if config.dry_run else ledger, entry)
    path = target.path
    if not os.path.lexists(path):
        return Todo()
    if path.is_dir():
        return _left(target, Status.FAILED, f"the folder {shown(path)} is in the way")
    if entry is None:
        if config.overwrite:
            return Todo()
        reason = f"{shown(path)} exists and is not of an earlier run; --overwrite replaces it"
        return _left(target, Status.FAILED, reason)
    if not still(path, entry.target_stamp):
        return Todo(aside=not config.overwrite)
    photo = target.photo.path
    if config.force or entry.parameters != parameters or not still(photo, entry.source_stamp):
        return Todo()
    source = stamp(photo, sha256=entry.source_stamp.sha256)
    return _unchanged(target, None if config.dry_run else ledger, entry, source)


def _in_place(
    target: Target, parameters: str, ledger: Ledger | None, entry: Entry | None
) -> Todo | PhotoOutcome:
    if target.path.is_symlink():
        reason = "is a link; --in-place changes only files that lie where they were named"
        return _left(target, Status.SKIPPED, reason)
    if entry is None or not still(target.path, entry.target_stamp):
        return Todo()
    if entry.parameters != parameters:
        reason = "was protected in place with other settings; put the original back to have it made anew"
        return _left(target, Status.SKIPPED, reason)
    return _unchanged(target, ledger, entry, entry.source_stamp)


def _unchanged(target: Target, ledger: Ledger | None, entry: Entry, source: Stamp) -> PhotoOutcome:
    found = stamp(target.path, with_ctime=True, sha256=entry.target_stamp.sha256)
    path = Path(os.path.abspath(target.photo.path))  # noqa: PTH100 - a link is not what it leads to
    now = replace(entry, source=path, source_stamp=source, target_stamp=found)
    if ledger and now != entry:  # touched or moved, not changed: the next run need not read it again
        ledger.finish(now)
    outcome = outcome_of(entry)
    return replace(
        outcome, source=target.photo.path, target=target.path, status=Status.UNCHANGED, reason="", seconds=0.0
    )


def _left(target: Target, status: Status, reason: str) -> PhotoOutcome:
    return PhotoOutcome(target.photo.path, None, status, reason, target.photo.format)
