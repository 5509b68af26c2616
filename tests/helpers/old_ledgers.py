"""Ledgers as earlier versions wrote them, when photos carried one of 70 codes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

APPLICATION = int.from_bytes(b"ulec", "big")
FIRST = (
    "source, source_size, source_mtime_ns, source_sha256, target_size, target_mtime_ns, target_ctime_ns, "
    "target_sha256, parameters, outcome, version, finished"
)
SECOND = f"{FIRST}, source_ctime_ns, image_sha256"
PARAMETERS = {
    "epsilon": 8,
    "mask": False,
    "code": 37,
    "surrogate": "photo 89abcdef",
    "surrogate_sha256": "89abcdef" * 8,
    "first_frame": False,
    "metadata": "private",
}
OUTCOME = {
    "status": "written",
    "reason": "",
    "format": "PNG",
    "width": 24,
    "height": 16,
    "identity": "ada",
    "code": 37,
    "max_change": 8,
    "psnr_db": 34.5,
    "max_change_on_disk": 8,
    "psnr_db_on_disk": 34.5,
    "seconds": 0.1,
    "recognised": True,
}


def tables(schema: int) -> str:
    """Return SQL that makes the tables of schema 1 or 2."""
    columns = FIRST if schema == 1 else SECOND
    images = "CREATE INDEX photos_by_image ON photos (image_sha256) WHERE image_sha256 IS NOT NULL;"
    return f"""
CREATE TABLE photos (target BLOB PRIMARY KEY, {columns}) WITHOUT ROWID;
CREATE INDEX photos_by_source ON photos (source);
{images if schema == 2 else ""}
CREATE TABLE intended (target BLOB PRIMARY KEY, {columns}) WITHOUT ROWID;
CREATE TABLE troubles (source BLOB PRIMARY KEY, outcome, finished) WITHOUT ROWID;
CREATE TABLE identities (name, scheme, code, PRIMARY KEY (name, scheme)) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {schema};
"""


def make_old_ledger(path: Path, schema: int) -> None:
    """Write a ledger with a photo that was protected, one that could not be, and the code of an identity."""
    row = [b"x.jpg", b"/photos/x.jpg", 5, 6, b"s" * 32, 9, 1, 2, b"t" * 32]
    row += [json.dumps(PARAMETERS, sort_keys=True), json.dumps(OUTCOME), "0.9", 12.5]
    row += [3, b"i" * 32] if schema == 2 else []
    failed = {"status": "failed", "reason": "is damaged", "format": "PNG", "identity": "ada", "code": -1}
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(tables(schema))
        connection.execute(f"INSERT INTO photos VALUES ({', '.join('?' * len(row))})", row)
        connection.execute(
            "INSERT INTO troubles VALUES (?, ?, 1.0)", (b"/photos/bad.png", json.dumps(failed))
        )
        connection.execute("INSERT INTO identities VALUES (?, '0123456789abcdef/70/7', 37)", (b"ada",))


def as_old(path: Path, schema: int) -> None:
    """Turn a ledger of today into one of schema 1 or 2, as if its photos had been given codes."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(f"SELECT target, {FIRST if schema == 1 else SECOND} FROM photos").fetchall()
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            connection.execute(f"DROP TABLE {name}")
        connection.executescript(tables(schema))
        for row in rows:
            connection.execute(f"INSERT INTO photos VALUES ({', '.join('?' * len(row))})", row)
        outcome = "json_set(json_remove(outcome, '$.direction'), '$.code', 37)"
        connection.execute(
            f"UPDATE photos SET parameters = ?, outcome = {outcome}", (json.dumps(PARAMETERS),)
        )
