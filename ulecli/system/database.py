"""One SQLite file that one process at a time may hold; its errors say what to do.

The lock is SQLite's own and ends with the process, however that ends. Commits are not forced to the disk one
by one: if the power fails, the last ones may be lost, and the file is whole all the same.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ulecli.errors import LedgerError, TargetError, shown

_APPLICATION = int.from_bytes(b"ulec", "big")

Statement = tuple[str, Sequence[object]]
"""SQL and what stands for its question marks."""


class Database:
    """An open file; threads may share it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection, self._lock = path, connection, threading.Lock()

    def read(self, statement: str, *values: object) -> list[Any]:
        """Return the rows of a SELECT.

        Raises:
            LedgerError: It can't be read.
        """
        try:
            with self._lock:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _refusal(self._path, error) from error

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
def held(path: Path, tables: str, schema: int) -> Iterator[Database]:
    """Open a file, or make one, and hold it alone.

    Args:
        path: Where it lies.
        tables: SQL that makes the tables.
        schema: Their version.

    Raises:
        LedgerError: It is damaged, of a newer version, something else, or in use by another run.
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
            _prepare(connection, path, tables, schema)
        except sqlite3.Error as error:
            raise _refusal(path, error) from error
        yield Database(path, connection)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path, tables: str, schema: int) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = NORMAL")
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not empty and kind != _APPLICATION:
        raise LedgerError(f"{shown(path)} is another program's database; name another place with --ledger")
    if version > schema:
        raise LedgerError(
            f"the ledger {shown(path)} was written by a newer ulecli (its schema is {version}, this one "
            f"knows {schema}); upgrade ulecli, or choose another output"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")  # from now on no other run gets in
    connection.commit()
    if empty:
        with contextlib.suppress(OSError):
            path.chmod(0o600)  # it shows whose photos lay where
        pragmas = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {schema};"
        connection.executescript(f"BEGIN; {tables} {pragmas} COMMIT;")
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
