"""One SQLite file that one run at a time may write and anybody may read meanwhile; its errors say what to do.

A run holds a lock of its own beside the file (`ulecli.system.run_lock`), which does not concern readers.
While it is on, the file has a write-ahead log where the file system can have one, else a rollback journal;
between runs it is one file without either, so that reading it makes no file, also in a read-only folder.
Commits are not forced to the disk one by one: if the power fails, the last ones may be lost, and the file is
whole all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ulecli.errors import LedgerError, TargetError, shown
from ulecli.system.run_lock import AlreadyLocked, is_locked, locked

_APPLICATION = int.from_bytes(b"ulec", "big")

_PATIENCE = 20.0
"""Seconds that one side waits for the other within a run: nobody holds the file for longer than a moment."""

_VERSIONS_AT, _WITH_LOG = 18, b"\2\2"
"""Where the header of the file says that it has a write-ahead log, and how."""

Statement = tuple[str, Sequence[object]]
"""SQL and what stands for its question marks."""


class Database:
    """An open file; threads may share it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection, self._lock = path, connection, threading.RLock()

    def read(self, statement: str, *values: object) -> list[Any]:
        """Return the rows of a SELECT.

        Raises:
            LedgerError: It can't be read.
        """
        try:
            with self._lock:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from error

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have all that is read meanwhile be of one moment. For a short time: it may keep a run waiting."""
        with self._lock:
            self.read("BEGIN")
            try:
                yield
            finally:
                self._connection.rollback()

    def write(self, *statements: Statement) -> None:
        """Do all of the statements or none.

        Raises:
            LedgerError: They can't be done.
            TargetError: The file can't be written at all.
        """
        try:
            with self._lock, self._connection:
                for statement, values in statements:
                    self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise _refusal(self._path, error) from error


@contextlib.contextmanager
def held(
    path: Path, tables: str, schema: int, upgrades: Mapping[int, str] | None = None
) -> Iterator[Database]:
    """Open a file for a run, or make one; no other run gets in meanwhile.

    Args:
        path: Where it lies.
        tables: SQL that makes the tables.
        schema: Their version.
        upgrades: SQL that takes the tables of each earlier version to the next; without it they stay.

    Raises:
        LedgerError: It is damaged, of a newer version, something else, or in use by another run.
        TargetError: It can't be made there.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(_lock_of(path)))
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it records whose photos lay where
            connection = _connected(path)
        except AlreadyLocked as error:
            raise _in_use(path) from error
        except (OSError, sqlite3.Error) as error:
            raise TargetError(
                f"can't make the ledger {shown(path)}: {getattr(error, 'strerror', None) or error}; "
                "name a place with --ledger"
            ) from error
        try:
            with contextlib.closing(connection):
                _prepare(connection, path, tables, schema)
                _upgrade(connection, upgrades or {})
            connection = stack.enter_context(_with_journal(path))
        except sqlite3.Error as error:
            raise _refusal(path, error) from error
        yield Database(path, connection)


@contextlib.contextmanager
def reading(path: Path, schema: int) -> Iterator[Database]:
    """Open a file that exists to read it, whether a run is on or not; no file is made or changed.

    Args:
        path: Where it lies.
        schema: The newest version of the tables that the caller knows.

    Raises:
        LedgerError: It is damaged, of a newer version, something else, or can't be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            place = path
            if not run_in_progress(path) and _has_log(path):  # of a killed run, or of an older ulecli
                place = _copied(path, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            name = f"file:{quote(os.fsencode(place.absolute()))}?mode={'ro' if place == path else 'rw'}"
            connection = sqlite3.connect(name, timeout=_PATIENCE, check_same_thread=False, uri=True)
            stack.callback(connection.close)
            _check(connection, path, schema)
        except (sqlite3.Error, OSError) as error:
            raise _unreadable(path, error) from error
        yield Database(path, connection)


def run_in_progress(path: Path) -> bool:
    """Return whether a run holds a file at this moment."""
    return is_locked(_lock_of(path))


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


def _has_log(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(_VERSIONS_AT)
        return file.read(len(_WITH_LOG)) == _WITH_LOG


def _copied(path: Path, folder: Path) -> Path:
    """Copy a file with its log: to read a log in its place would make files beside it."""
    for name in (path.name, f"{path.name}-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(name), folder / name)
    return folder / path.name


def _check(connection: sqlite3.Connection, path: Path, schema: int) -> bool:
    """Check that a file is a whole one of ulecli; return whether there is nothing in it yet.

    Raises:
        LedgerError: It is not.
        sqlite3.Error: It can't be read.
    """
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty: bool = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty and kind != _APPLICATION:
        raise LedgerError(f"{shown(path)} is another program's database; name another place with --ledger")
    if version > schema:
        raise LedgerError(
            f"the ledger {shown(path)} was written by a newer ulecli (its schema is {version}, this one "
            f"knows {schema}); upgrade ulecli, or choose another output"
        )
    if not empty and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damaged(path)
    return empty


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path, tables: str, schema: int) -> None:
    """Check a file, take in what a killed run has left in its log, and make the tables in an empty one."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # a log is read without what readers share
    empty = _check(connection, path, schema)
    connection.execute("PRAGMA journal_mode = DELETE")
    if empty:
        pragmas = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {schema};"
        connection.executescript(f"BEGIN; {tables} {pragmas} COMMIT;")


@contextlib.contextmanager
def _with_journal(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file with a write-ahead log, or a rollback journal where the file system can't share a log."""
    for mode in ("WAL", "DELETE"):
        with contextlib.closing(_connected(path)) as connection:
            if mode == "DELETE":  # the attempt has left a log behind, which is read without sharing it
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            try:
                connection.execute(f"PRAGMA journal_mode = {mode}")
                connection.execute("PRAGMA locking_mode = NORMAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
            except sqlite3.OperationalError as error:
                if mode == "DELETE" or _code(error) == sqlite3.SQLITE_BUSY:
                    raise
                continue
            yield connection
            with contextlib.suppress(sqlite3.Error):  # a reader is on: then the next run does it
                connection.execute("PRAGMA busy_timeout = 1000")
                connection.execute("PRAGMA journal_mode = DELETE")
            return


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _upgrade(connection: sqlite3.Connection, upgrades: Mapping[int, str]) -> None:
    """Take the tables to the newest version, each step whole or not at all."""
    while statements := upgrades.get(version := connection.execute("PRAGMA user_version").fetchone()[0]):
        connection.executescript(f"BEGIN; {statements} PRAGMA user_version = {version + 1}; COMMIT;")


def _refusal(path: Path, error: sqlite3.Error) -> LedgerError | TargetError:
    """Return what a user can act on for what SQLite says to a run."""
    if _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return TargetError(f"can't write the ledger {shown(path)}: {error}; name a place with --ledger")
    if _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return TargetError(
            f"the ledger {shown(path)} can't be written: {error}; make room, or name a place with --ledger"
        )
    return _known(path, error) or LedgerError(f"the ledger {shown(path)} can't be written: {error}")


def _unreadable(path: Path, error: sqlite3.Error | OSError) -> LedgerError:
    """Return what a user can act on for what SQLite or the system says to a reader."""
    known = _known(path, error) if isinstance(error, sqlite3.Error) else None
    words = getattr(error, "strerror", None) or error
    return known or LedgerError(f"the ledger {shown(path)} can't be read: {words}")


def _known(path: Path, error: sqlite3.Error) -> LedgerError | None:
    if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _in_use(path)
    if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path)
    return None


def _in_use(path: Path) -> LedgerError:
    return LedgerError(f"another run holds the ledger {shown(path)}; wait until it has ended")


def _damaged(path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {shown(path)} is damaged; restore it from a backup, or move it away and run with "
        "--overwrite, which makes everything anew"
    )
