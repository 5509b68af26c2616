"""Which protected file belongs to which original."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ulecli.entries import Entry
from ulecli.errors import LedgerError, NothingToDo, TargetError, UsageError, shown
from ulecli.formats.registry import SUFFIXES
from ulecli.ledger import NAME, opened
from ulecli.photos import check_exist, find
from ulecli.records import Photo, Status


@dataclass(frozen=True)
class Pair:
    """An original and where its protected copy is.

    Attributes:
        original: The photo.
        protected: Its copy; None where there is none.
        code: The code that it carries by the ledger; None if none tells.
        reason: Why there is no copy, by the ledger; empty if none tells.
    """

    original: Path
    protected: Path | None
    code: int | None = None
    reason: str = ""


def pair_up(original: Path, protected: Path) -> list[Pair]:
    """Find the protected copy of a photo, or of every photo in a tree.

    A copy is where the ledger of the protected tree says; else where `protect` mirrors the original to, with
    its own ending or the one that fits its content.

    Args:
        original: A photo or a folder.
        protected: A photo if `original` is one, else a folder.

    Returns:
        A pair for every photo below `original` and every file that should be one and can't be read, sorted.

    Raises:
        NoSuchPath: One of them does not exist.
        NothingToDo: There is no photo in `original`.
        UsageError: One is a file and the other a folder.
    """
    check_exist([original, protected])
    if original.is_dir() != protected.is_dir():
        raise UsageError("name two photos or two folders, not one of each")
    if not original.is_dir():
        return [_single(original, protected)]
    told = _told_by_ledger(protected)
    found = find([original])
    pairs = [_pair(photo, original, protected, told) for photo in found.photos]
    pairs += [Pair(it.source, None, reason=it.reason) for it in found.others if it.status is Status.FAILED]
    if not pairs:
        raise NothingToDo(f"there is no photo in {shown(original)}")
    return sorted(pairs, key=lambda pair: pair.original)


@dataclass(frozen=True)
class _Told:
    """What a ledger tells, by the real paths of the originals; `targets` by those of the copies."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    targets: Mapping[str, Entry] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def _single(original: Path, protected: Path) -> Pair:
    told = _told_by_ledger(protected.parent)
    return Pair(original, protected, _code(told.targets.get(os.path.realpath(protected))))


def _told_by_ledger(protected: Path) -> _Told:
    path = protected / NAME
    if not path.is_file():
        return _Told()
    try:
        with opened(path, settle=False) as ledger:
            entries = list(ledger.entries())
            return _Told(
                {os.path.realpath(entry.source): entry for entry in entries},
                {os.path.realpath(entry.target): entry for entry in entries},
                {os.path.realpath(outcome.source): outcome.reason for outcome in ledger.troubles()},
            )
    except (LedgerError, TargetError):  # in use by a run, or damaged: names tell nearly as much
        return _Told()


def _pair(photo: Photo, original: Path, protected: Path, told: _Told) -> Pair:
    real = os.path.realpath(photo.path)
    entry = told.entries.get(real)
    if entry and entry.target.is_file():
        return Pair(photo.path, _as_named(entry.target, protected), _code(entry))
    candidates = _mirrored(protected / photo.path.relative_to(original), photo.format)
    there = next((path for path in candidates if path.is_file()), None)
    if there is None:
        return Pair(photo.path, None, reason=told.reasons.get(real, ""))
    return Pair(photo.path, there, _code(told.targets.get(os.path.realpath(there))))  # of photos in place


def _as_named(target: Path, protected: Path) -> Path:
    """Return a path of the ledger, which is absolute, the way the user named the folder above it."""
    inner = os.path.relpath(os.path.realpath(target), os.path.realpath(protected))
    return target if inner.startswith("..") else protected / inner


def _code(entry: Entry | None) -> int | None:
    code = entry.outcome.get("code") if entry else None
    return code if isinstance(code, int) and code >= 0 else None


def _mirrored(path: Path, format: str) -> Iterator[Path]:
    yield path
    for suffix in SUFFIXES.get(format, ()):
        yield path.with_suffix(suffix)
        yield path.with_name(path.name + suffix)
