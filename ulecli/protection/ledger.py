"""The ledger: which photo was protected how and lies where, in one SQLite file for each output.

It is what makes a run resumable. Nothing is believed that can be checked: a photo counts as done only if the
source, the settings and the written file are all still what the ledger says.

A file is entered in two steps, so that a kill between any two of them can be made out: `intend` notes what
is about to get its name, `finish` that it has it. What was intended and not finished is settled by the
content of the file when the ledger is opened next. Commits are not forced to the disk one by one: if the
power fails, the last ones may be lost, and what they were about is then found as files unknown to the ledger.

One run at a time may hold a ledger, and anybody may read it meanwhile; see `ulecli.system.database`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import LedgerError, shown
from ulecli.protection.entry import Entry
from ulecli.protection.identity import scheme_end
from ulecli.protection.outcome import PhotoOutcome
from ulecli.system import paths
from ulecli.system.database import Database, Statement, held
from ulecli.system.database import reading as reading_database
from ulecli.system.fingerprint import Fingerprint, file_sha256, fingerprint_of

Direction = NDArray[np.float32]

NAME = ".ulecli.sqlite"
"""The file's name in the root of an output; hidden, so no run takes it for a photo."""

SCHEMA = 3

_COLUMNS = (
    "target, source, source_size, source_mtime_ns, source_sha256, target_size, target_mtime_ns, "
    "target_ctime_ns, target_sha256, parameters, outcome, version, finished, source_ctime_ns, image_sha256"
)
_TABLES = f"""
CREATE TABLE photos ({_COLUMNS.replace("target,", "target BLOB PRIMARY KEY,", 1)}) WITHOUT ROWID;
CREATE INDEX photos_by_source ON photos (source);
CREATE INDEX photos_by_image ON photos (image_sha256) WHERE image_sha256 IS NOT NULL;
CREATE TABLE intended ({_COLUMNS.replace("target,", "target BLOB PRIMARY KEY,", 1)}) WITHOUT ROWID;
CREATE TABLE troubles (source BLOB PRIMARY KEY, outcome, finished) WITHOUT ROWID;
CREATE TABLE directions (name, scheme, direction BLOB, PRIMARY KEY (name, scheme)) WITHOUT ROWID;
"""
_UPGRADES = {
    1: """
ALTER TABLE photos ADD COLUMN source_ctime_ns;
ALTER TABLE photos ADD COLUMN image_sha256;
ALTER TABLE intended ADD COLUMN source_ctime_ns;
ALTER TABLE intended ADD COLUMN image_sha256;
CREATE INDEX photos_by_image ON photos (image_sha256) WHERE image_sha256 IS NOT NULL;
""",
    2: """
DROP TABLE identities;
CREATE TABLE directions (name, scheme, direction BLOB, PRIMARY KEY (name, scheme)) WITHOUT ROWID;
""",
}
"""What takes the tables of each earlier version to the next."""


class Ledger:
    """An open ledger; threads may share it. Paths below its folder are kept relative, so the output may move.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._real = cache(paths.real)  # of folders; a library has far fewer than photos
        self._root = self._real(path.parent)
        self._below = self._root.rstrip(os.sep) + os.sep  # what paths below it begin with
        self._database = database
        there = {row[1] for row in database.read("PRAGMA table_info(photos)")}  # a reader changes no tables
        self._columns = ", ".join(it if it in there else f"NULL AS {it}" for it in _COLUMNS.split(", "))
        known = "image_sha256" in there and database.read(
            "SELECT 1 FROM photos WHERE image_sha256 IS NOT NULL LIMIT 1"
        )
        self._knows_images = bool(known)
        self._knows_directions = bool(database.read("SELECT 1 FROM sqlite_master WHERE name = 'directions'"))

    def empty(self) -> bool:
        """Return whether no photo is finished yet."""
        return not self._database.read("SELECT 1 FROM photos LIMIT 1")

    def by_target(self, target: Path) -> Entry | None:
        """Return what was written to a place."""
        return next(self._entries("photos", "WHERE target = ?", self._stored(target)), None)

    def by_source(self, source: Path) -> list[Entry]:
        """Return what was made of the file at a path; several if it went to several places."""
        return list(self._entries("photos", "WHERE source = ?", _bytes(source)))

    def entries(self) -> list[Entry]:
        """Return every finished photo, sorted by target."""
        return list(self._entries("photos", "ORDER BY target"))

    def knows_images(self) -> bool:
        """Return whether there were copies that can be recognised by their pixels when it was opened."""
        return self._knows_images

    def by_image(self, image_sha256: bytes) -> Entry | None:
        """Return a copy with such coded pixels, wherever it was written."""
        return next(self._entries("photos", "WHERE image_sha256 = ? LIMIT 1", image_sha256), None)

    def places(self) -> Iterator[tuple[Path, Path]]:
        """Yield where each finished photo lay and where its copy was written, sorted by the latter."""
        for source, target in self._database.read("SELECT source, target FROM photos ORDER BY target"):
            yield Path(os.fsdecode(source)), Path(self._root, os.fsdecode(target))

    def problems(self) -> list[PhotoOutcome]:
        """Return what the last run that came to it could not protect, sorted by source."""
        rows = self._database.read("SELECT source, outcome FROM troubles ORDER BY source")
        return [PhotoOutcome.restored(Path(os.fsdecode(source)), None, json.loads(it)) for source, it in rows]

    def intend(self, entry: Entry) -> None:
        """Note that a file is about to get its name.

        Raises:
            LedgerError: It can't be noted; the file must not get its name then.
        """
        self._database.write(self._inserting("intended", entry))

    def finish(self, entry: Entry) -> None:
        """Note that a file has its name, and that its photo is no problem any more.

        Raises:
            LedgerError: It can't be noted; it will be settled from what was intended.
        """
        self._database.write(
            self._inserting("photos", entry),
            ("DELETE FROM intended WHERE target = ?", (self._stored(entry.target),)),
            ("DELETE FROM troubles WHERE source = ?", (_bytes(entry.source),)),
        )

    def give_up(self, target: Path) -> None:
        """Note that a file did not get its name after all."""
        self._database.write(("DELETE FROM intended WHERE target = ?", (self._stored(target),)))

    def forget(self, target: Path) -> None:
        """Note that there is no copy any more."""
        self._database.write(("DELETE FROM photos WHERE target = ?", (self._stored(target),)))

    def add_problem(self, outcome: PhotoOutcome) -> None:
        """Note a photo that failed or was skipped, for those who ask later."""
        row = (_bytes(outcome.source), json.dumps(outcome.recorded(), allow_nan=True), time.time())
        self._database.write(("INSERT OR REPLACE INTO troubles VALUES (?, ?, ?)", row))

    def direction(self, name: str, scheme: str) -> Direction | None:
        """Return the direction (D,) that the photos of an identity are moved along in this output.

        Args:
            name: The identity.
            scheme: Of which key and which surrogate.

        Raises:
            LedgerError: It is damaged.
        """
        if not self._knows_directions:
            return None
        query = "SELECT direction FROM directions WHERE name = ? AND scheme = ?"
        rows = self._database.read(query, os.fsencode(name), scheme)
        return self._restored(rows[0][0]) if rows else None

    def directions(self, surrogate: str = "") -> list[Direction]:
        """Return the directions (D,) of all identities and keys of this output.

        Args:
            surrogate: The sha256 of the weights of the one whose directions are wanted, in hex; empty for
                those of all.

        Raises:
            LedgerError: One of them is damaged.
        """
        if not self._knows_directions:
            return []
        query = "SELECT direction FROM directions WHERE scheme LIKE '%' || ?"
        rows = self._database.read(query, scheme_end(surrogate) if surrogate else "")
        return [self._restored(row[0]) for row in rows]

    def _restored(self, stored: object) -> Direction:
        """Return a direction as it was kept; a file of any origin may hold anything in its place."""
        if isinstance(stored, bytes) and stored and len(stored) % 4 == 0:
            direction = np.frombuffer(stored, "<f4")
            if np.isfinite(direction).all():
                return direction
        raise LedgerError(
            f"the ledger {shown(self.path)} holds a direction that is none: it is damaged; move it away to "
            "have the photos protected anew"
        )

    def keep_direction(self, name: str, scheme: str, direction: Direction) -> None:
        """Note along which direction the photos of an identity are moved from now on."""
        row = (os.fsencode(name), scheme, np.ascontiguousarray(direction, "<f4").tobytes())
        self._database.write(("INSERT OR REPLACE INTO directions VALUES (?, ?, ?)", row))

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """Have all that is read meanwhile be of one moment; not for longer than it takes to read it."""
        return self._database.snapshot()

    def settle(self) -> None:
        """Decide what became of files that a killed run was about to name."""
        for entry in list(self._entries("intended", "")):
            with contextlib.suppress(OSError):
                sha256 = file_sha256(entry.target)
                if sha256 == entry.target_fingerprint.sha256:
                    found = fingerprint_of(entry.target, with_ctime=True, sha256=sha256)
                    self.finish(replace(entry, target_fingerprint=found))
                    continue
            self.give_up(entry.target)

    def _stored(self, path: Path) -> bytes:
        folder, name = os.path.split(path)
        full = os.path.join(self._real(folder), name)  # noqa: PTH118 - a link keeps its own name
        return os.fsencode(full.removeprefix(self._below))

    def _entries(self, table: str, where: str, *values: object) -> Iterator[Entry]:
        for row in self._database.read(f"SELECT {self._columns} FROM {table} {where}", *values):
            (
                target,
                source,
                size,
                mtime,
                sha,
                *of_target,
                parameters,
                record,
                version,
                finished,
                ctime,
                image,
            ) = row
            yield Entry(
                Path(os.fsdecode(source)),
                Path(self._root, os.fsdecode(target)),
                Fingerprint(size, mtime, ctime or 0, sha),
                Fingerprint(*of_target),
                parameters,
                json.loads(record),
                version,
                finished,
                image or b"",
            )

    def _inserting(self, table: str, entry: Entry) -> Statement:
        one, other = entry.source_fingerprint, entry.target_fingerprint
        row = (
            *(self._stored(entry.target), _bytes(entry.source), one.size, one.mtime_ns, one.sha256),
            *(other.size, other.mtime_ns, other.ctime_ns, other.sha256, entry.parameters),
            *(json.dumps(dict(entry.outcome)), entry.version, entry.finished or time.time()),
            *(one.ctime_ns or None, entry.image_sha256 or None),
        )
        marks = ", ".join("?" * len(row))
        return f"INSERT OR REPLACE INTO {table} ({_COLUMNS}) VALUES ({marks})", row


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    """Open a ledger for a run, or make one, and decide what became of files that a killed run left unnamed.

    Args:
        path: Where it lies.

    Raises:
        LedgerError: It is damaged, of a newer ulecli, something else, or in use by another run.
        TargetError: It can't be made there.
    """
    with held(path, _TABLES, SCHEMA, _UPGRADES) as database:
        ledger = Ledger(path, database)
        ledger.settle()
        yield ledger


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """Open a ledger that exists to read it, whether a run is on or not.

    Raises:
        LedgerError: It is damaged, of a newer ulecli, something else, or can't be read.
    """
    with reading_database(path, SCHEMA) as database:
        yield Ledger(path, database)


def _bytes(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - a link is another source than what it leads to
