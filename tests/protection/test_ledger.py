from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.old_ledgers import make_old_ledger

from ulecli.errors import LedgerError, TargetError
from ulecli.protection.entry import Entry
from ulecli.protection.identity import scheme_of
from ulecli.protection.ledger import NAME, SCHEMA, opened, reading
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.system.database import run_in_progress
from ulecli.system.fingerprint import Fingerprint, file_sha256, fingerprint_of, is_unchanged

ODD = [b"plain.jpg", b"new\nline.jpg", b"-dash.jpg", b"\xff\xfe.jpg", "Ærø 東京 🌈.jpg".encode()]
OUTCOME = PhotoOutcome(
    Path("a"),
    Path("b"),
    Status.WRITTEN,
    "CMYK became RGB",
    "JPEG",
    4,
    3,
    os.fsdecode(b"\xff ada"),
    "0123456789abcdef",
    max_change=8,
    psnr_db=math.inf,
)


def entry(root: Path, name: str, content: bytes = b"protected") -> Entry:
    target = root / name
    sha256 = fingerprint_of_content(content)
    source = Path("/photos") / name
    return Entry(
        source, target, Fingerprint(5, 6, 0, b"s" * 32), sha256, '{"epsilon": 8}', OUTCOME.recorded()
    )


def fingerprint_of_content(content: bytes) -> Fingerprint:
    import hashlib

    return Fingerprint(len(content), 1, 0, hashlib.sha256(content).digest())


@pytest.mark.parametrize("name", [os.fsdecode(name) for name in ODD])
def test_what_is_finished_is_found_again(tmp_path, name):
    one = replace(entry(tmp_path / "out", name), finished=12.5)
    with opened(tmp_path / "out" / NAME) as ledger:
        ledger.intend(one)
        assert ledger.by_target(one.target) is None
        ledger.finish(one)
        assert ledger.by_target(one.target) == one
    (tmp_path / "out").rename(tmp_path / "moved")
    with opened(tmp_path / "moved" / NAME) as ledger:
        moved = replace(one, target=tmp_path / "moved" / name)
        assert ledger.entries() == ledger.by_source(one.source) == [moved]
        assert moved.as_outcome() == replace(OUTCOME, source=one.source, target=moved.target)


def test_a_target_elsewhere_is_kept_whole(tmp_path):
    away = entry(tmp_path / "away", "x.jpg")
    with opened(tmp_path / "ledger") as ledger:
        ledger.finish(away)
    (tmp_path / "ledger").rename(tmp_path / "moved")
    with opened(tmp_path / "moved") as ledger:
        assert ledger.by_target(tmp_path / "away" / "x.jpg")


@pytest.mark.parametrize(
    ("there", "done"), [(b"protected", True), (b"older", False), (b"", False), (None, False)]
)
def test_what_was_intended_counts_if_it_is_there_whole(tmp_path, there, done):
    before = entry(tmp_path, "x.jpg", b"older")
    with opened(tmp_path / NAME) as ledger:
        ledger.finish(before)
        ledger.intend(entry(tmp_path, "x.jpg"))
    if there is not None:
        (tmp_path / "x.jpg").write_bytes(there)
    with opened(tmp_path / NAME) as ledger:
        found = ledger.by_target(tmp_path / "x.jpg")
        assert found and still_or_gone(found) is (there in (b"protected", b"older"))
        assert (found.target_fingerprint.sha256 == entry(tmp_path, "x.jpg").target_fingerprint.sha256) is done
        assert ledger._database.read("SELECT count(*) FROM intended") == [(0,)]


def still_or_gone(found: Entry) -> bool:
    return found.target.exists() and is_unchanged(
        found.target, replace(found.target_fingerprint, mtime_ns=-1)
    )


def test_what_was_given_up_is_forgotten(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"protected")
    with opened(tmp_path / NAME) as ledger:
        ledger.intend(entry(tmp_path, "x.jpg"))
        ledger.give_up(tmp_path / "x.jpg")
    with opened(tmp_path / NAME) as ledger:
        assert ledger.entries() == []


def test_problems_are_kept_until_the_photo_is_done(tmp_path):
    failed = PhotoOutcome(tmp_path / "in" / "x.jpg", None, Status.FAILED, "is damaged", "JPEG")
    with opened(tmp_path / NAME) as ledger:
        for _ in range(2):
            ledger.add_problem(failed)
        assert ledger.problems() == [failed]
        ledger.finish(replace(entry(tmp_path, "x.jpg"), source=failed.source))
        assert ledger.problems() == []


def test_directions_are_kept_for_one_name_and_scheme(tmp_path):
    rng = np.random.default_rng(0)
    places = [(name, scheme) for name in ("ada", os.fsdecode(b"\xff"), "Zürich") for scheme in ("k/s", "l/s")]
    kept = {place: rng.standard_normal(1280).astype(np.float32) for place in places}
    with opened(tmp_path / NAME) as ledger:
        assert ledger.direction("ada", "k/s") is None and ledger.directions() == []
        for place, direction in kept.items():
            ledger.keep_direction(*place, direction)
    with reading(tmp_path / NAME) as ledger:
        for place, direction in kept.items():
            found = ledger.direction(*place)
            assert found is not None and found.dtype == np.float32 and np.array_equal(found, direction)
        assert ledger.direction("bob", "k/s") is ledger.direction("ada", "m/s") is None
        assert {it.tobytes() for it in ledger.directions()} == {it.tobytes() for it in kept.values()}


def test_a_direction_that_is_kept_again_replaces_the_former(tmp_path):
    with opened(tmp_path / NAME) as ledger:
        for value in (1, 2):
            ledger.keep_direction("ada", "k/s", np.full(4, value, np.float32))
        assert [it.tolist() for it in ledger.directions()] == [[2, 2, 2, 2]]


def test_directions_of_another_surrogate_are_left_out(tmp_path):
    one, other = "ab" * 32, "cd" * 32
    with opened(tmp_path / NAME) as ledger:
        for value, surrogate in enumerate((one, other)):
            ledger.keep_direction("ada", scheme_of(b"key", surrogate), np.full(4, value, np.float32))
        assert [it[0] for it in ledger.directions(other)] == [1] and len(ledger.directions()) == 2
        assert ledger.directions("ef" * 32) == []


@pytest.mark.parametrize("stored", [b"", b"abc", np.array([1, np.nan], "<f4").tobytes(), "text", 7], ids=repr)
def test_what_is_no_direction_is_one_line(tmp_path, stored):
    with opened(tmp_path / NAME) as ledger:
        ledger.keep_direction("ada", "k/s", np.ones(4, np.float32))
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("UPDATE directions SET direction = ?", (stored,))
    connection.close()
    with reading(tmp_path / NAME) as ledger:
        for ask in (ledger.directions, lambda: ledger.direction("ada", "k/s")):
            with pytest.raises(LedgerError, match="a direction that is none"):
                ask()


@pytest.mark.parametrize("schema", [1, 2])
def test_an_earlier_ledger_is_taken_up_with_all_that_it_knows(tmp_path, schema):
    make_old_ledger(tmp_path / NAME, schema)
    before = (tmp_path / NAME).read_bytes()
    with reading(tmp_path / NAME) as ledger:
        old = ledger.entries()
        assert [one.target.name for one in old] == ["x.jpg"] and len(ledger.problems()) == 1
        assert ledger.direction("ada", "k/s") is None and ledger.directions() == []
    assert (tmp_path / NAME).read_bytes() == before  # whoever reads changes nothing
    with opened(tmp_path / NAME) as ledger:
        assert ledger.entries() == old and len(ledger.problems()) == 1
        assert old[0].as_outcome().direction == "" and old[0].as_outcome().identity == "ada"
        ledger.keep_direction("ada", "k/s", np.ones(4, np.float32))
        ledger.finish(entry(tmp_path, "new.jpg"))
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        taken_up = schema_of(connection)
    with opened(tmp_path / "new"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "new")) as connection:
        assert taken_up == schema_of(connection)


def schema_of(connection: sqlite3.Connection) -> tuple[int, dict[str, list[str]]]:
    """The version, and the columns of every table and index: of one that was changed SQL is another."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = connection.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'").fetchall()
    columns = {
        name: [row[1 + (kind == "index")] for row in connection.execute(f"PRAGMA {kind}_info({name})")]
        for (name,) in names
        for kind in (("index" if "_by_" in name else "table"),)
    }
    return version, columns


HOLDER = """
import sys, time
sys.path[:] = {path!r}
from pathlib import Path
from test_ledger import entry
from ulecli.protection.ledger import opened
with opened(Path({ledger!r})) as ledger:
    for number in range(3):
        ledger.finish(entry(Path({ledger!r}).parent, f"{{number}}.jpg"))
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def a_run(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a ledger in another process, which has noted three photos, and kill it."""
    script = HOLDER.format(path=[str(Path(__file__).parent), *sys.path], ledger=str(path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_one_run_at_a_time_and_a_killed_one_lets_go(tmp_path):
    with a_run(tmp_path / NAME), pytest.raises(LedgerError, match="another run"), opened(tmp_path / NAME):
        pass
    with opened(tmp_path / NAME) as ledger:
        assert len(ledger.entries()) == 3


def test_whoever_reads_does_not_wait_for_a_run_and_sees_what_is_done(tmp_path):
    with a_run(tmp_path / NAME):
        for _ in range(2):
            with reading(tmp_path / NAME) as ledger, ledger.snapshot():
                assert len(ledger.entries()) == 3 and ledger.problems() == []
            assert run_in_progress(tmp_path / NAME)
    assert not run_in_progress(tmp_path / NAME)


def test_a_run_does_not_wait_for_whoever_reads(tmp_path):
    with opened(tmp_path / NAME) as run:
        run.finish(entry(tmp_path, "0.jpg"))
        with reading(tmp_path / NAME) as ledger, ledger.snapshot():
            assert len(ledger.entries()) == 1
            for number in range(1, 50):
                run.finish(entry(tmp_path, f"{number}.jpg"))
            assert len(ledger.entries()) == 1  # as it was at the beginning
        with reading(tmp_path / NAME) as ledger:
            assert len(ledger.entries()) == 50


def finished(path: Path) -> None:
    with opened(path) as ledger:
        for number in range(3):
            ledger.finish(entry(path.parent, f"{number}.jpg"))


def killed(path: Path) -> None:
    with a_run(path):
        pass
    assert path.with_name(f"{NAME}-wal").stat().st_size and path.with_name(f"{NAME}-lock").exists()


def of_an_older_version(path: Path) -> None:
    finished(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.read_bytes()[18:20] == b"\2\2"


@pytest.mark.parametrize("make", [finished, killed, of_an_older_version])
def test_reading_makes_and_changes_no_file(tmp_path, make):
    make(tmp_path / NAME)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    with reading(tmp_path / NAME) as ledger:
        assert len(ledger.entries()) == 3
        assert {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()
        } == before
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("room", [0, 8192])
def test_a_full_disk_is_a_place_that_can_not_be_written(small_disk, room):
    free = os.statvfs(small_disk)
    (small_disk / "rest").write_bytes(bytes(free.f_bavail * free.f_frsize - room))
    with pytest.raises(TargetError, match="full"), opened(small_disk / NAME):
        pass


@pytest.mark.parametrize("make", [finished, killed, of_an_older_version])
def test_a_ledger_in_a_read_only_folder_is_read(small_disk, make):
    make(small_disk / NAME)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with reading(small_disk / NAME) as ledger:
        assert len(ledger.entries()) == 3
    assert not run_in_progress(small_disk / NAME)


def test_after_a_run_there_is_one_file_that_only_the_user_can_read(tmp_path):
    before = os.umask(0)
    try:
        with opened(tmp_path / NAME) as ledger:
            ledger.finish(entry(tmp_path, "x.jpg"))
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    names = [NAME, f"{NAME}-lock", f"{NAME}-shm", f"{NAME}-wal"]
    assert sorted(modes) == names and (os.name != "posix" or set(modes.values()) == {0o600})
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes()[18:20] == b"\1\1"


@pytest.mark.parametrize("there", ["a folder", "a link"])
def test_where_the_log_can_not_be_shared_a_journal_does(tmp_path, there):
    """As on file systems without shared memory; reading and one run at a time work there too."""
    if there == "a folder":
        (tmp_path / f"{NAME}-shm").mkdir()
    else:
        (tmp_path / f"{NAME}-shm").symlink_to(tmp_path / "gone" / "away")
    with opened(tmp_path / NAME) as run:
        run.finish(entry(tmp_path, "x.jpg"))
        assert not (tmp_path / f"{NAME}-wal").exists()
        with reading(tmp_path / NAME) as ledger:
            assert len(ledger.entries()) == 1
        with pytest.raises(LedgerError, match="another run"), opened(tmp_path / NAME):
            pass
    with opened(tmp_path / NAME) as run:
        assert len(run.entries()) == 1


def test_there_is_nothing_to_read(tmp_path):
    with pytest.raises(LedgerError, match="can't be read"), reading(tmp_path / NAME):
        pass
    assert not list(tmp_path.iterdir())


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path):
    with opened(tmp_path / NAME):
        pass
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(LedgerError, match=r"newer ulecli.*upgrade"), opened(tmp_path / NAME):
        pass
    assert (tmp_path / NAME).read_bytes() == before


def test_another_database_is_refused_and_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "other")
    connection.execute("CREATE TABLE photos (x)")
    connection.close()
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(LedgerError, match="another program"), opened(tmp_path / "other"):
        pass
    assert (tmp_path / "other").read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "cut", "middle"])
def test_a_damaged_ledger_is_told_with_what_to_do(tmp_path, damage):
    path = tmp_path / NAME
    with opened(path) as ledger:
        for number in range(300):
            ledger.finish(entry(tmp_path, f"{number}.jpg"))
    content = bytearray(path.read_bytes())
    if damage == "text":
        content[:100] = b"x" * 100
    elif damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[4096 : len(content) - 4096] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged.*--overwrite"), opened(path) as ledger:
        ledger.entries()


def test_a_place_that_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TargetError, match="--ledger"), opened(tmp_path / "file" / NAME):
        pass
    with pytest.raises(TargetError, match="--ledger"), opened(tmp_path):
        pass


@pytest.mark.parametrize("column", ["target", "source", "image_sha256"])
def test_no_look_into_the_ledger_reads_all_of_it(tmp_path, column):
    finished(tmp_path / NAME)
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM photos WHERE {column} = x''").fetchall()
    assert all("SEARCH" in row[-1] and "SCAN" not in row[-1] for row in plan) and plan


def test_fingerprints(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"content")
    before = fingerprint_of(path)
    assert before.sha256 == file_sha256(path) and before.fresh(path.stat()) and is_unchanged(path, before)
    os.utime(path, ns=(1, 1))
    assert not before.fresh(path.stat()) and is_unchanged(path, before)
    path.write_bytes(b"CONTENT")
    assert not is_unchanged(path, before)
    os.utime(path, ns=(before.mtime_ns, before.mtime_ns))
    assert is_unchanged(path, before)  # as with rsync: same size and time
    assert not is_unchanged(path, replace(before, ctime_ns=1))
