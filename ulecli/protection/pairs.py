"""Which protected file belongs to which original."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ulecli.errors import LedgerError, NoSuchPath, NothingToDo, UsageError, shown
from ulecli.formats.registry import SUFFIXES
from ulecli.protection.entry import Entry
from ulecli.protection.find import check_exist, find
from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME, Direction, reading
from ulecli.protection.outcome import Photo, Status
from ulecli.system import database, paths


@dataclass(frozen=True)
class Pair:
    """An original and where its protected copy is.

    Attributes:
        original: The photo.
        protected: Its copy; None where there is none.
        direction: (D,) along which it was moved, by the ledger; None if it is not known.
        reason: Why there is no copy, by the ledger; empty if it is not known.
    """

    original: Path
    protected: Path | None
    direction: Direction | None = field(default=None, compare=False)
    reason: str = ""


def pair_up(original: Path, protected: Path, surrogate: str = "") -> list[Pair]:
    """Find the protected copy of a photo, or of every photo in a tree.

    A copy is where the ledger of the protected tree says; else where `protect` mirrors the original to, with
    its own ending or the one that fits its content.

    Args:
        original: A photo or a folder.
        protected: A photo if `original` is one, else a folder.
        surrogate: The sha256 of the weights of the one that will look for cues: directions of others mean
            nothing to it. Empty for those of all.

    Returns:
        A pair for every photo below `original` and every file that should be one and can't be read, sorted.

    Raises:
        NoSuchPath: One of them does not exist or can't be reached.
        NothingToDo: There is no photo in `original`.
        UsageError: One is a file and the other a folder.
    """
    check_exist([original, protected])
    for path in (original, protected):
        if problem := paths.problem(path):
            raise NoSuchPath(f"{shown(path)} {problem}")
    if paths.is_folder(original) != paths.is_folder(protected):
        raise UsageError("name two photos or two folders, not one of each")
    if not paths.is_folder(original):
        return [_single(original, protected, surrogate)]
    recorded = _recorded_in_ledger(protected, surrogate)
    found = find([original])
    pairs = [_pair(photo, original, protected, recorded) for photo in found.photos]
    pairs += [Pair(it.source, None, reason=it.reason) for it in found.others if it.status is Status.FAILED]
    if not pairs:
        raise NothingToDo(f"there is no photo in {shown(original)}")
    return sorted(pairs, key=lambda pair: pair.original)


def run_in_progress(protected: Path) -> bool:
    """Return whether a run is writing into a folder, or into that of a photo, at this moment."""
    return database.run_in_progress((protected if protected.is_dir() else protected.parent) / NAME)


@dataclass(frozen=True)
class _Recorded:
    """What a ledger records, by real paths of originals and of copies, and by names of directions."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    targets: Mapping[str, Entry] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, Direction] = field(default_factory=dict)

    def direction(self, entry: Entry | None) -> Direction | None:
        """Return the direction of a finished photo, if the ledger has it."""
        return self.directions.get(str(entry.outcome.get("direction"))) if entry else None


def _single(original: Path, protected: Path, surrogate: str) -> Pair:
    recorded = _recorded_in_ledger(protected.parent, surrogate)
    return Pair(original, protected, recorded.direction(recorded.targets.get(paths.real(protected))))


def _recorded_in_ledger(protected: Path, surrogate: str) -> _Recorded:
    path = protected / NAME
    if not paths.is_file(path):
        return _Recorded()
    try:
        with reading(path) as ledger, ledger.snapshot():
            entries = list(ledger.entries())
            return _Recorded(
                {paths.real(entry.source): entry for entry in entries},
                {paths.real(entry.target): entry for entry in entries},
                {paths.real(outcome.source): outcome.reason for outcome in ledger.problems()},
                {name_of(direction): direction for direction in ledger.directions(surrogate)},
            )
    except LedgerError:  # damaged: names show nearly as much
        return _Recorded()


def _pair(photo: Photo, original: Path, protected: Path, recorded: _Recorded) -> Pair:
    real = paths.real(photo.path)
    entry = recorded.entries.get(real)
    if entry and paths.is_file(entry.target):
        return Pair(photo.path, _as_named(entry.target, protected), recorded.direction(entry))
    candidates = _mirrored(protected / photo.path.relative_to(original), photo.format)
    there = next((path for path in candidates if paths.is_file(path)), None)
    if there is None:
        return Pair(photo.path, None, reason=recorded.reasons.get(real, ""))
    entry = recorded.targets.get(paths.real(there))  # of a photo in place
    return Pair(photo.path, there, recorded.direction(entry))


def _as_named(target: Path, protected: Path) -> Path:
    """Return a path of the ledger, which is absolute, the way the user named the folder above it."""
    inner = os.path.relpath(paths.real(target), paths.real(protected))
    return target if inner.startswith("..") else protected / inner


def _mirrored(path: Path, format: str) -> Iterator[Path]:
    yield path
    for suffix in SUFFIXES.get(format, ()):
        yield path.with_suffix(suffix)
        yield path.with_name(path.name + suffix)
