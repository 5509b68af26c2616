"""The ledger: which photo was protected how and lies where, in one SQLite file for each output.

It is what makes a run resumable. Nothing is believed that can be checked: a photo counts as done only if the
source, the settings and the written file are all still what the ledger says.

A file is entered in two steps, so that a kill between any two of them can be made out: `intend` notes what
is about to get its name, `finish` that it has it. What was intended and not finished is settled by the
content of the file when the ledger is opened next. Commits are not forced to the disk one by one: if the
power fails, the last ones may be lost, and what they told of is then found as files unknown to the ledger.

One run at a time may hold a ledger: SQLite's exclusive lock, which ends with the process however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ulecli.entries import Entry, outcome_from, told
from ulecli.errors import LedgerError, TargetError, shown
from ulecli.records import PhotoOutcome
from ulecli.stamps import Stamp, file_sha256, stamp

NAME = ".ulecli.sqlite"
"""The file's name in the root of an output; hidden, so no run takes it for a photo."""

SCHEMA = 1
_APPLICATION = int.from_bytes(b"ulec", "big")


_COLUMNS = (
    "target, source, source_size, source_mtime_ns, source_sha256, target_size, target_mtime_ns, "
    "target_ctime_ns, target_sha256, parameters, outcome, version, finished"
)
_TABLES = f"""
CREATE TABLE photos ({_COLUMNS.replace("target,", "target BLOB PRIMARY KEY,", 1)}) WITHOUT ROWID;
CREATE INDEX photos_by_source ON photos (source);
CREATE TABLE intended ({_COLUMNS.replace("target,", "target BLOB PRIMARY KEY,", 1)}) WITHOUT ROWID;
CREATE TABLE troubles (source BLOB PRIMARY KEY, outcome, finished) WITHOUT ROWID;
CREATE TABLE identities (name, scheme, code, PRIMARY KEY (name, scheme)) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {SCHEMA};
"""


class Ledger:
    """An open ledger; threads may share it. Paths below its folder are kept relative, so the output may move.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, settle: bool = True) -> None:
        self.path = path
        self._real = cache(os.path.realpath)  # of folders; a library has far fewer than photos
        self._root = self._real(path.parent)
        self._connection = connection
        self._lock = threading.Lock()
        if settle:
            self._settle()

    def by_target(self, target: Path) -> Entry | None:
        """Return what was written to a place."""
        return next(self._entries("photos", "WHERE target = ?", self._stored(target)), None)

    def by_source(self, source: Path) -> list[Entry]:
        """Return what was made of the file at a path; several if it went to several places."""
        return list(self._entries("photos", "WHERE source = ?", _bytes(source)))

    def entries(self) -> list[Entry]:
        """Return every finished photo, sorted by target."""
        return list(self._entries("photos", "ORDER BY target"))

    def troubles(self) -> list[PhotoOutcome]:
        """Return what the last run that came to it could not protect, sorted by source."""
        rows = self._run("SELECT source, outcome FROM troubles ORDER BY source")
        return [outcome_from(Path(os.fsdecode(source)), None, json.loads(words)) for source, words in rows]

    def intend(self, entry: Entry) -> None:
        """Note that a file is about to get its name.

        Raises:
            LedgerError: It can't be noted; the file must not get its name then.
        """
        self._put("intended", entry)

    def finish(self, entry: Entry) -> None:
        """Note that a file has its name, and that its photo has no trouble any more.

        Raises:
            LedgerError: It can't be noted; it will be settled from what was intended.
        """
        with self._transaction():
            self._insert("photos", entry)
            self._connection.execute("DELETE FROM intended WHERE target = ?", (self._stored(entry.target),))
            self._connection.execute("DELETE FROM troubles WHERE source = ?", (_bytes(entry.source),))

    def give_up(self, target: Path) -> None:
        """Note that a file did not get its name after all."""
        self._run("DELETE FROM intended WHERE target = ?", self._stored(target))

    def trouble(self, outcome: PhotoOutcome) -> None:
        """Note a photo that failed or was skipped, for those who ask later."""
        row = (_bytes(outcome.source), json.dumps(told(outcome), allow_nan=True), time.time())
        self._run("INSERT OR REPLACE INTO troubles VALUES (?, ?, ?)", *row)

    def codes(self, scheme: str) -> dict[str, int]:
        """Return the codes that identities carry in this output.

        Args:
            scheme: Of which key and which number of codes.
        """
        rows = self._run("SELECT name, code FROM identities WHERE scheme = ?", scheme)
        return {os.fsdecode(name): int(code) for name, code in rows}

    def keep_codes(self, scheme: str, codes: Mapping[str, int]) -> None:
        """Note which codes identities carry from now on."""
        with self._transaction():
            rows = [(os.fsencode(name), scheme, code) for name, code in codes.items()]
            self._connection.executemany("INSERT OR REPLACE INTO identities VALUES (?, ?, ?)", rows)

    def _settle(self) -> None:
        """Decide what became of files that a killed run was about to name."""
        for entry in list(self._entries("intended", "")):
            with contextlib.suppress(OSError):
                sha256 = file_sha256(entry.target)
                if sha256 == entry.target_stamp.sha256:
                    found = stamp(entry.target, with_ctime=True, sha256=sha256)
                    self.finish(replace(entry, target_stamp=found))
                    continue
            self.give_up(entry.target)

    def _stored(self, path: Path) -> bytes:
        folder = self._real(path.parent)
        full = os.path.join(folder, path.name)  # noqa: PTH118 - a link keeps its own name
        return os.fsencode(os.path.relpath(full, self._root) if _inside(folder, self._root) else full)

    def _entries(self, table: str, where: str, *values: object) -> Iterator[Entry]:
        for row in self._run(f"SELECT {_COLUMNS} FROM {table} {where}", *values):
            target, source, size, mtime, sha, *rest = row
            target_size, target_mtime, target_ctime, target_sha, parameters, words, version, finished = rest
            yield Entry(
                Path(os.fsdecode(source)),
                Path(self._root, os.fsdecode(target)),
                Stamp(size, mtime, 0, sha),
                Stamp(target_size, target_mtime, target_ctime, target_sha),
                parameters,
                json.loads(words),
                version,
                finished,
            )

    def _put(self, table: str, entry: Entry) -> None:
        with self._transaction():
            self._insert(table, entry)

    def _insert(self, table: str, entry: Entry) -> None:
        one, other = entry.source_stamp, entry.target_stamp
        row = (
            *(self._stored(entry.target), _bytes(entry.source), one.size, one.mtime_ns, one.sha256),
            *(other.size, other.mtime_ns, other.ctime_ns, other.sha256, entry.parameters),
            *(json.dumps(dict(entry.outcome)), entry.version, entry.finished or time.time()),
        )
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT OR REPLACE INTO {table} ({_COLUMNS}) VALUES ({marks})", row)

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._transaction():
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._connection:
                yield
        except sqlite3.Error as error:
            raise _refusal(self.path, error) from error


@contextlib.contextmanager
def opened(path: Path, *, settle: bool = True) -> Iterator[Ledger]:
    """Open a ledger, or make one, and hold it alone.

    Args:
        path: Where it lies.
        settle: Decide what became of files that a killed run was about to name.

    Raises:
        LedgerError: It is damaged, of a newer ulecli, something else, or in use by another run.
        TargetError: It can't be made there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise TargetError(
            f"can't make the ledger {shown(path)}: {getattr(error, 'strerror', None) or error}; "
            "name a place with --ledger"
        ) from error
    try:
        try:
            _prepare(connection, path)
        except sqlite3.Error as error:
            raise _refusal(path, error) from error
        yield Ledger(path, connection, settle=settle)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = NORMAL")
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty and kind != _APPLICATION:
        raise LedgerError(f"{shown(path)} is another program's database; name another place with --ledger")
    if version > SCHEMA:
        raise LedgerError(
            f"the ledger {shown(path)} was written by a newer ulecli (its schema is {version}, this one "
            f"knows {SCHEMA}); upgrade ulecli, or choose another output"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")  # from now on no other run gets in
    connection.commit()
    if empty:
        with contextlib.suppress(OSError):
            path.chmod(0o600)  # it tells whose photos lay where
        connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
    elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damaged(path)


def _refusal(path: Path, error: sqlite3.Error) -> LedgerError | TargetError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(f"another run holds the ledger {shown(path)}; wait until it has ended")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return TargetError(f"can't write the ledger {shown(path)}: {error}; name a place with --ledger")
    return LedgerError(f"the ledger {shown(path)} can't be written: {error}")


def _damaged(path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {shown(path)} is damaged; restore it from a backup, or move it away and run with "
        "--overwrite, which makes everything anew"
    )


def _bytes(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - a link is another source than what it leads to


def _inside(folder: str, root: str) -> bool:
    return folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)
