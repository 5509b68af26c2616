from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import FullSwing, scene

from ulecli.errors import MissingExtra, UsageError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import ProtectReport, Status
from ulecli.protection.run import protect
from ulecli.protection.watch import Waiting, check_watchable, watch

pytestmark = pytest.mark.usefixtures("config_home")
QUIET = 0.25


def test_files_are_taken_when_they_have_been_quiet(tmp_path):
    now = [0.0]
    waiting = Waiting(2.0, clock=lambda: now[0])
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_bytes(b"a")
    waiting.add([one, two, tmp_path / "never there"])

    def ready_at(moment: float) -> list[Path]:
        now[0] = moment
        return waiting.ready()

    assert ready_at(0) == ready_at(1) == []
    two.write_bytes(b"ab")  # still being written
    assert ready_at(1.5) == []
    waiting.add([two])
    assert ready_at(2.5) == [one] and ready_at(3) == []
    assert ready_at(3.5) == [two] and ready_at(9) == []
    waiting.add([one])
    one.unlink()
    assert ready_at(10) == []
    one.write_bytes(b"a")
    assert ready_at(20) == []


@contextmanager
def watching(config: ProtectConfig) -> Iterator[SimpleNamespace]:
    """Watch in a thread; the report is there when the block has ended."""
    pytest.importorskip("watchfiles")
    seen = SimpleNamespace(outcomes=[], remarks=[], report=None)
    stop = threading.Event()

    def work() -> None:
        tell = lambda outcome, total: seen.outcomes.append(outcome)  # noqa: E731
        seen.report = watch(
            config, FullSwing(), stop, on_outcome=tell, on_remark=seen.remarks.append, quiet=QUIET
        )

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(20)
    assert isinstance(seen.report, ProtectReport)


def until(true: Callable[[], object], limit: float = 15.0) -> None:
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def copy_slowly(content: bytes, path: Path) -> None:
    with path.open("wb") as file:
        for start in range(0, len(content), len(content) // 4):
            file.write(content[start : start + len(content) // 4])
            file.flush()
            time.sleep(QUIET / 2)


def test_what_is_there_and_what_appears_is_protected(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    scene(16, 16, 0).save(source / "there.png")
    config = ProtectConfig((source,), out)
    with watching(config) as seen:
        until((out / "there.png").exists)
        scene(16, 16, 1).save(tmp_path / "new.png")
        copy_slowly((tmp_path / "new.png").read_bytes(), source / "sub" / "new.png")
        (tmp_path / "album").mkdir()
        scene(16, 16, 2).save(tmp_path / "album" / "moved.png")
        (tmp_path / "album").rename(source / "album")
        (source / "notes.txt").write_text("no photo")
        scene(16, 16, 3).save(source / ".hidden.png")
        odd = source / os.fsdecode(b"\xff.png")
        scene(16, 16, 4).save(odd, "PNG")
        until(lambda: len(seen.outcomes) >= 4)
        scene(16, 16, 5).save(source / "there.png")
        until(lambda: len(seen.outcomes) >= 5)
    written = {one.source for one in seen.outcomes}
    assert written == {source / "there.png", source / "sub/new.png", source / "album/moved.png", odd}
    # The slow copy was not taken before it was whole: nothing has failed, nothing was done twice.
    assert {one.status for one in seen.outcomes} == {Status.WRITTEN} and len(seen.outcomes) == 5
    assert {one.source for one in seen.report.outcomes} == written and seen.report.exit_code == 0
    made = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert made == {"there.png", "sub/new.png", "album/moved.png", odd.name}


def test_what_was_protected_counts_as_that_when_it_is_seen_again(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.protection.watch.LOOK_AGAIN", 2 * QUIET)
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    scene(16, 16, 0).save(source / "earlier.png")
    protect(ProtectConfig((source,), out), FullSwing())
    scene(16, 16, 1).save(source / "new.png")
    (source / "link.png").symlink_to("z" * 300)
    with watching(ProtectConfig((source,), out)) as seen:
        until((out / "new.png").exists)
        time.sleep(6 * QUIET)  # walked again, and touched
        (source / "new.png").touch()
        time.sleep(4 * QUIET)
    reported = {one.source.name: one.status for one in seen.report.outcomes}
    assert reported == {
        "earlier.png": Status.UNCHANGED,
        "link.png": Status.FAILED,
        "new.png": Status.WRITTEN,
    }
    assert seen.report.count(Status.WRITTEN) == 1


def test_in_place_the_watch_does_not_take_its_own_work(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    config = ProtectConfig((source,), in_place=True, backup=tmp_path / "kept")
    with watching(config) as seen:
        time.sleep(QUIET)
        scene(16, 16, 1).save(source / "x.png")
        until(lambda: seen.outcomes)
        time.sleep(4 * QUIET)
    assert [one.status for one in seen.outcomes] == [Status.WRITTEN]


def move_away(source: Path) -> None:
    source.rename(source.with_name("away"))


def remove(source: Path) -> None:
    shutil.rmtree(source)


@pytest.mark.parametrize("go", [move_away, remove])
@pytest.mark.parametrize("pause", [0.0, 3 * QUIET])
def test_a_folder_that_goes_and_comes_back_is_watched_again(tmp_path, go, pause):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    scene(16, 16, 0).save(source / "first.png")
    with watching(ProtectConfig((source,), out)) as seen:
        until((out / "first.png").exists)
        time.sleep(2 * QUIET)
        go(source)
        if pause:
            until(lambda: seen.remarks)
            assert "is gone" in seen.remarks[0] and str(source) in seen.remarks[0]
            time.sleep(pause)
        source.mkdir()
        scene(16, 16, 1).save(source / "second.png")
        until((out / "second.png").exists)
        scene(16, 16, 2).save(source / "third.png")  # what appears later is seen too
        until((out / "third.png").exists)
        if go is move_away:
            scene(16, 16, 3).save(tmp_path / "away" / "not_here.png")
            time.sleep(4 * QUIET)
    assert {one.status for one in seen.outcomes} == {Status.WRITTEN} and len(seen.outcomes) == 3
    assert seen.remarks[-1] in seen.report.notes and str(source) in seen.remarks[-1]
    assert ("is back" if pause else "another folder") in seen.remarks[-1]


def test_another_folder_takes_the_place(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (tmp_path / "new").mkdir()
    scene(16, 16, 1).save(tmp_path / "new" / "x.png")
    with watching(ProtectConfig((source,), out)) as seen:
        time.sleep(2 * QUIET)
        (tmp_path / "new").rename(source)  # over the empty one
        until((out / "x.png").exists)
    assert len(seen.remarks) == 1 and "another folder" in seen.remarks[0]


def test_while_one_folder_is_gone_the_others_are_watched(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.protection.watch.LOOK_AGAIN", 2 * QUIET)  # walks also look at what is there
    disk, album, out = tmp_path / "disk", tmp_path / "album", tmp_path / "out"
    for seed, folder in enumerate((disk, album)):
        folder.mkdir()
        scene(16, 16, seed).save(folder / "x.png")
    with watching(ProtectConfig((disk, album), out)) as seen:
        until(lambda: all((out / name / "x.png").exists() for name in ("disk", "album")))
        move_away(disk)
        until(lambda: seen.remarks)
        scene(16, 16, 3).save(album / "y.png")
        until((out / "album" / "y.png").exists)
        time.sleep(4 * QUIET)
        (tmp_path / "away").rename(disk)
        scene(16, 16, 4).save(disk / "z.png")
        until((out / "disk" / "z.png").exists)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == {
        *("disk/x.png", "disk/z.png", "album/x.png", "album/y.png")
    }
    assert len(seen.outcomes) == 4 and {one.status for one in seen.outcomes} == {Status.WRITTEN}


def test_polling_sees_what_the_system_does_not_report(tmp_path, monkeypatch):
    """The way out for network shares that the remark of the watch names."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    (tmp_path / "in").mkdir()
    with watching(ProtectConfig((tmp_path / "in",), tmp_path / "out")) as seen:
        time.sleep(2 * QUIET)
        scene(16, 16, 1).save(tmp_path / "in" / "x.png")
        until(lambda: seen.outcomes)
    assert [one.status for one in seen.outcomes] == [Status.WRITTEN]


def test_what_can_not_be_watched(tmp_path, monkeypatch):
    scene(8, 8).save(tmp_path / "x.png")
    config = ProtectConfig((tmp_path,))
    with pytest.raises(UsageError, match="folders"):
        check_watchable(replace(config, sources=(tmp_path / "x.png",)))
    with pytest.raises(UsageError, match="--dry-run"):
        check_watchable(replace(config, dry_run=True))
    monkeypatch.setattr("ulecli.protection.watch.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[watch\]'"):
        check_watchable(config)
