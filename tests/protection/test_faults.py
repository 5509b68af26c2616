"""What goes wrong with disks, files, memory and processes: reported, never half written, finished later."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, FullSwing, scene
from PIL import Image

from ulecli.errors import TargetError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.ledger import NAME, opened
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.run import protect
from ulecli.system.fingerprint import is_unchanged

pytestmark = [
    pytest.mark.usefixtures("config_home"),
    pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX"),
]
COUNT = 12


@pytest.fixture
def library(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    for seed in range(COUNT):
        scene(48, 32, seed).save(tmp_path / "in" / f"{seed:02}.png")
    return tmp_path / "in"


@pytest.fixture
def config(library) -> ProtectConfig:
    return ProtectConfig((library,), library.with_name("out"))


class Acting(FullSwing):
    """Does something once, before it perturbs a photo, while the worker waits for it."""

    def __init__(self, act, aspect: float | None = None) -> None:
        """Act before the first photo of an aspect; None for the very first one."""
        super().__init__()
        self.act, self.aspect, self.acted = act, aspect, False

    def __call__(self, images, directions, amplitudes, aspects):
        if not self.acted and self.aspect in (None, float(aspects[0])):
            self.acted = True
            self.act()
        return super().__call__(images, directions, amplitudes, aspects)


def by_name(outcomes: tuple[PhotoOutcome, ...]) -> dict[str, PhotoOutcome]:
    return {outcome.source.name: outcome for outcome in outcomes}


def check_whole(config: ProtectConfig) -> int:
    """Check that all there is is whole and that the ledger is right; return how many photos are done."""
    files = {path for path in config.output.rglob("*") if not path.name.startswith(".ulecli")}
    for path in files:
        with Image.open(path) as image:
            image.load()
    with opened(config.output / ".ulecli.sqlite") as ledger:
        entries = ledger.entries()
    assert {entry.target for entry in entries} == files
    assert all(
        is_unchanged(entry.target, replace(entry.target_fingerprint, mtime_ns=-1)) for entry in entries
    )
    return len(entries)


def check_finished_by_the_next_run(config: ProtectConfig) -> None:
    report = protect(config, FullSwing())
    assert {one.status for one in report.outcomes} <= {Status.WRITTEN, Status.UNCHANGED}
    assert check_whole(config) == len(report.outcomes)
    assert not list(config.output.rglob("*.part"))


def workers() -> list[int]:
    """The workers that this process has started and not buried, and none of other tests' processes."""
    return [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
        if b"ulecli.system.serving" in Path("/proc", pid, "cmdline").read_bytes()
    ]


DRIVER = """
import sys, time
sys.path[:] = {path!r}
from pathlib import Path
from conftest import FullSwing
from ulecli.protection.run import protect
from ulecli.protection.config import ProtectConfig

class Slow(FullSwing):
    def __call__(self, *arguments, **settings):
        time.sleep({pause})
        return super().__call__(*arguments, **settings)

def tell(outcome, total):
    print(outcome.status, outcome.source.name, outcome.reason, sep="|", flush=True)

config = ProtectConfig((Path({source!r}),), Path({output!r}), jobs={jobs}, key_file=Path({key!r}))
protect(config, Slow(), on_outcome=tell)
"""


def driven(config: ProtectConfig, pause: float = 0.0, **settings) -> subprocess.Popen[str]:
    """Protect in a process of its own."""
    script = DRIVER.format(
        path=[str(ROOT), str(ROOT / "tests"), *sys.path],
        pause=pause,
        source=str(config.sources[0]),
        output=str(config.output),
        jobs=config.jobs,
        key=str(config.key_file),
    )
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def test_killed_at_random_moments(config, tmp_path):
    config = replace(config, jobs=2, key_file=tmp_path / "key")
    chance, done = random.Random(0), 0
    for _ in range(3):
        with driven(config, pause=0.02) as process:
            assert process.stdout
            # Not before it works, and then at any moment between two photos or in the middle of some.
            left = chance.randint(1, 2)
            while left:
                left -= process.stdout.readline().startswith("written")
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
        now = check_whole(config)
        assert now >= done
        done = now
    assert done >= 3
    check_finished_by_the_next_run(config)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found by /proc")
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "memory"), (signal.SIGSEGV, "SIGSEGV")], ids=["KILL", "SEGV"]
)
def test_a_worker_that_dies_takes_one_photo_with_it(config, number, words):
    report = protect(config, Acting(lambda: [os.kill(pid, number) for pid in workers()]))
    (failed,) = [one for one in report.outcomes if one.status is Status.FAILED]
    assert words in failed.reason and report.count(Status.WRITTEN) == COUNT - 1
    check_finished_by_the_next_run(config)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found by /proc")
def test_a_worker_that_hangs_is_given_up(config):
    config = replace(config, timeout=4)
    report = protect(config, Acting(lambda: [os.kill(pid, signal.SIGSTOP) for pid in workers()]))
    (failed,) = [one for one in report.outcomes if one.status is Status.FAILED]
    assert "4 s" in failed.reason and report.count(Status.WRITTEN) == COUNT - 1
    assert workers() == []
    check_finished_by_the_next_run(config)


def edit(path: Path) -> None:
    scene(48, 32, 77).save(path)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("act", "words"), [(edit, "changed"), (append, "changed"), (Path.unlink, "vanished")]
)
def test_a_source_that_changes_or_vanishes_while_it_is_read(config, library, act, words):
    scene(96, 32).save(library / "00.png")  # threads may take another one first
    report = protect(config, Acting(lambda: act(library / "00.png"), aspect=3.0))
    outcomes = by_name(report.outcomes)
    assert outcomes["00.png"].status is Status.FAILED and words in outcomes["00.png"].reason
    assert report.count(Status.WRITTEN) == COUNT - 1 and not (config.output / "00.png").exists()
    check_finished_by_the_next_run(config)


def test_a_source_that_vanishes_before_its_turn(config, library):
    report = protect(config, Acting((library / "11.png").unlink))
    assert "vanished" in by_name(report.outcomes)["11.png"].reason
    assert report.count(Status.WRITTEN) == COUNT - 1


def test_a_full_disk(config, small_disk):
    full = replace(config, output=small_disk / "out")
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    report = protect(full, FullSwing())
    failed = [one.reason for one in report.outcomes if one.status is Status.FAILED]
    assert failed and report.count(Status.WRITTEN) + len(failed) == COUNT
    assert all("space" in reason or "full" in reason for reason in failed)
    assert not list(small_disk.rglob("*.part"))
    (small_disk / "filler").unlink()
    assert check_whole(full) >= report.count(Status.WRITTEN)  # the ledger had no room for some that are whole
    check_finished_by_the_next_run(full)


@pytest.mark.parametrize("known", [True, False])
def test_files_that_may_not_grow(config, tmp_path, known):
    """Like a quota: every write beyond 2 kB fails, also the ledger's, which a new direction has to go to."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    config = replace(config, key_file=tmp_path / "key")
    config.key_file.write_text("00" * 32)
    protect(replace(config, sources=(config.sources[0] / "00.png",)), FullSwing())  # there is a ledger
    if not known:
        with contextlib.closing(sqlite3.connect(config.output / NAME)) as connection, connection:
            connection.execute("DELETE FROM directions")
    with driven(config, preexec_fn=limit) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = dict(line.split("|", 2)[1:] for line in out.splitlines() if line.startswith("failed"))
    assert len(lines) == COUNT - known
    assert all(("too large" if known else "ledger") in reason for reason in lines.values()), lines
    assert not list(config.output.rglob("*.part"))
    check_finished_by_the_next_run(config)


def test_a_read_only_disk(config, small_disk):
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(TargetError, match="can't write in"):
        protect(replace(config, output=small_disk / "out"), FullSwing())


def test_out_of_memory_on_one_file(config, library, tmp_path):
    Image.new("RGB", (10_000, 9_000)).save(library / "05.png", compress_level=1)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    config = replace(config, key_file=tmp_path / "key")
    one = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # numpy reserves addresses for every core
    with driven(config, preexec_fn=limit, env=one) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = dict(line.split("|", 2)[1:] for line in out.splitlines() if line.startswith("failed"))
    assert set(lines) == {"05.png"} and "memory" in lines["05.png"]
    assert check_whole(config) == COUNT - 1


def test_what_killed_runs_left_is_removed(config):
    config.output.mkdir()
    left = config.output / ".ulecli-0123456789abcdef.part"
    left.write_bytes(b"half")
    other = config.output / "somebody-elses.part"
    other.write_bytes(b"")
    protect(config, FullSwing())
    assert not left.exists() and other.exists()


def test_names_of_every_kind(tmp_path):
    names = [
        b"new\nline.png",
        b"-o.png",
        b"\xff\xfe.png",
        "🌈 Ærø.png".encode(),
        b" spaces .png",
        b"a'\"$.png",
    ]
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(names):
        scene(8, 8, seed).save(tmp_path / "in" / os.fsdecode(name), "PNG")
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", identity_from_folder=True)
    for expected in (Status.WRITTEN, Status.UNCHANGED):
        report = protect(config, FullSwing())
        assert {one.status for one in report.outcomes} == {expected}
    made = {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()} - {b".ulecli.sqlite"}
    assert made == set(names)
