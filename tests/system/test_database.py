from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ulecli.errors import LedgerError
from ulecli.system.database import held

TABLES = "CREATE TABLE things (name PRIMARY KEY) WITHOUT ROWID;"
ADD = "INSERT INTO things VALUES (?)"


def test_all_of_the_statements_or_none(tmp_path):
    with held(tmp_path / "x", TABLES, 1) as database:
        database.write((ADD, (1,)), (ADD, (2,)))
        with pytest.raises(LedgerError, match="can't be written"):
            database.write((ADD, (3,)), (ADD, (1,)))
        assert database.read("SELECT name FROM things ORDER BY name") == [(1,), (2,)]
        database.write((ADD, (3,)))
    with held(tmp_path / "x", TABLES, 1) as database:
        assert database.read("SELECT name FROM things WHERE name > ? ORDER BY name", 1) == [(2,), (3,)]


def test_threads_share_it(tmp_path):
    with held(tmp_path / "x", TABLES, 1) as database, ThreadPoolExecutor(4) as threads:

        def add(number: int) -> bool:
            database.write((ADD, (number,)))
            return database.read("SELECT name FROM things WHERE name = ?", number) == [(number,)]

        assert all(threads.map(add, range(400)))
        assert database.read("SELECT count(*) FROM things") == [(400,)]


def test_the_schema_of_the_caller_is_kept(tmp_path):
    with held(tmp_path / "x", TABLES, 3):
        pass
    with (
        pytest.raises(LedgerError, match="its schema is 3, this one knows 2"),
        held(tmp_path / "x", TABLES, 2),
    ):
        pass
