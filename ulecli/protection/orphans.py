"""Copies whose photos were deleted: found by the ledgers, and removed only if the user says so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ulecli.protection.config import ProtectConfig
from ulecli.protection.find import Found
from ulecli.protection.ledger import Ledger
from ulecli.protection.outcome import OrphanedCopy
from ulecli.system import paths
from ulecli.system.fingerprint import is_unchanged


def orphaned_copies(config: ProtectConfig, found: Found, ledgers: Iterable[Ledger]) -> list[OrphanedCopy]:
    """Name the copies whose photos were deleted below the sources of a run; remove them with `config.prune`.

    A folder in which there is no photo at all counts as unplugged, not as emptied. A photo is deleted if
    there is surely nothing at its path; and only a file is removed that a run has written, and nobody has
    changed since.

    Args:
        config: Of the run. In a dry run nothing is removed.
        found: What the run found.
        ledgers: Those of its output.

    Returns:
        Each copy that is still there, sorted by where it is.
    """
    orphans = [orphan for ledger in ledgers for orphan in _orphans(config, found, ledger)]
    return sorted(orphans, key=lambda orphan: orphan.target)


def _orphans(config: ProtectConfig, found: Found, ledger: Ledger) -> Iterator[OrphanedCopy]:
    here = {_absolute(photo.path) for photo in found.photos}
    sources = {photo.source for photo in found.photos if photo.path != photo.source}
    above = tuple(
        os.path.join(root, "")  # noqa: PTH118 - with a slash at the end
        for source in sources
        for root in (_absolute(source), paths.real(source))
    )
    for source, target in list(ledger.places()):
        if str(source) in here or not str(source).startswith(above) or source == target:
            continue
        if not paths.is_gone(source):
            continue
        if paths.is_gone(target):
            if config.prune and not config.dry_run:
                ledger.forget(target)
        else:
            yield _pruned(source, target, ledger, config) if config.prune else OrphanedCopy(source, target)


def _pruned(source: Path, target: Path, ledger: Ledger, config: ProtectConfig) -> OrphanedCopy:
    entry = ledger.by_target(target)
    try:
        if (
            entry is None
            or entry.edited
            or paths.is_link(target)
            or not is_unchanged(target, entry.target_fingerprint)
        ):
            return OrphanedCopy(source, target, reason="has been changed since, so it stays")
        if not config.dry_run:
            target.unlink()
            ledger.forget(target)
    except OSError as error:
        return OrphanedCopy(source, target, reason=f"can't be removed: {error.strerror}")
    return OrphanedCopy(source, target, removed=True)


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - must not resolve symlinks
