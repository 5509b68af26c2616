from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.results_of import ENVIRONMENT, run

from ulecli.errors import ExitCode, TargetError
from ulecli.evaluation.results.journal import Journal

SAME = {"preset": "quick", "poison": {"name": "cifar", "epsilon": 8}, "sizes": (32, 32)}

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from helpers.results_of import run
from ulecli.evaluation.results.journal import Journal
with Journal.open(Path(sys.argv[1]), {"a": 1}, resume=True) as journal:
    print("ready", flush=True)
    done = len(journal.records)
    while True:
        journal.add(run(seed=done, audit={"filling": "x" * int(sys.argv[2])}))
        done += 1
        print(done, flush=True)
"""


def lines(out: Path) -> list[bytes]:
    return (out / "results.jsonl").read_bytes().splitlines(keepends=True)


def writer(out: Path, filling: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(out), str(filling)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)


def test_what_is_added_is_found_again(tmp_path):
    out = tmp_path / "deep" / "out"
    first, second = run(), run("cifar", last=21, robust={"fgsm": 12})
    with Journal.open(out, SAME, resume=False) as journal:
        assert journal.find(first.key) is None and journal.records == ()
        journal.add(first)
        assert lines(out) == [json.dumps(first.to_json()).encode() + b"\n"]
        journal.add(second)
        assert journal.find(second.key) is second
    with Journal.open(out, SAME, resume=True) as journal:
        assert journal.records == (first, second) and journal.find(first.key) == first
        assert journal.notes == ()


@pytest.mark.parametrize("resume", [True, False])
def test_an_empty_journal_can_be_opened_again(tmp_path, resume):
    for _ in range(2):
        with Journal.open(tmp_path, SAME, resume=resume) as journal:
            assert journal.records == ()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({**SAME, "preset": "paper"}, ['preset: "quick" there, "paper" here']),
        ({**SAME, "poison": {"name": "cifar", "epsilon": 4}}, ["poison.epsilon: 8 there, 4 here"]),
        ({**SAME, "more": "x" * 99}, ["more: null there", '"xxx', "... here"]),
        ({"preset": "quick"}, ["poison: ", "sizes: [32, 32] there, null here"]),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_another_configuration_is_refused_and_nothing_touched(tmp_path, other, named, resume):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TargetError) as raised:
        Journal.open(tmp_path, other, resume=resume)
    said = str(raised.value)
    assert all(part in said for part in named) and "--out" in said and "\n" not in said
    assert raised.value.exit_code == ExitCode.TARGET
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    Journal.open(tmp_path, SAME, resume=True).close()  # the refusal gave the lock back


def test_results_are_not_mixed_without_resume(tmp_path):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run())
    with pytest.raises(TargetError, match=r"holds 1 results already.*--resume.*--out"):
        Journal.open(tmp_path, SAME, resume=False)


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b'{"schema": 9, "fingerprint": {}}', b'{"schema": 1}']
)
def test_results_of_nobody_knows_what_are_refused(tmp_path, content):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run())
    (tmp_path / "run.json").unlink()
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(TargetError, match=r"run\.json.*--out"):
        Journal.open(tmp_path, SAME, resume=True)


@pytest.mark.parametrize(
    "damage",
    [b"{not json}", b"", b"\0" * 40, b"[1]", b"\xff\xfe", b'{"schema": 7}', b'{"schema": 1}'],
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path, damage):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        for seed in range(3):
            journal.add(run(seed=seed))
    whole = lines(tmp_path)
    broken = b"".join([whole[0], damage + b"\n", whole[2]])
    (tmp_path / "results.jsonl").write_bytes(broken)
    with pytest.raises(TargetError, match=r"results\.jsonl, line 2 is damaged") as raised:
        Journal.open(tmp_path, SAME, resume=True)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "results.jsonl").read_bytes() == broken


def test_a_line_torn_anywhere_is_set_aside(tmp_path):
    path = tmp_path / "results.jsonl"
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run(seed=0))
        journal.add(run(seed=1))
    first, second = lines(tmp_path)
    for cut in range(1, len(second) - 1, 7):
        path.write_bytes(first + second[:cut])
        (tmp_path / "results.jsonl.torn").unlink(missing_ok=True)
        with Journal.open(tmp_path, SAME, resume=True) as journal:
            assert journal.records == (run(seed=0),)
            assert re.search("torn.*results.jsonl.torn", *journal.notes)
            journal.add(run(seed=1))
        assert lines(tmp_path) == [first, second]
        assert (tmp_path / "results.jsonl.torn").read_bytes() == second[:cut] + b"\n"


def test_a_last_line_that_lacks_its_end_alone_gets_it(tmp_path):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run())
    whole = (tmp_path / "results.jsonl").read_bytes()
    (tmp_path / "results.jsonl").write_bytes(whole[:-1])
    with Journal.open(tmp_path, SAME, resume=True) as journal:
        assert journal.records == (run(),) and journal.notes == ()
    assert (tmp_path / "results.jsonl").read_bytes() == whole


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path):
    dice = random.Random(0)
    for _ in range(12):
        process = writer(tmp_path, 200_000)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        reported, _ = process.communicate()
        acknowledged = max(
            (int(line) for line in reported.splitlines(keepends=True) if line[-1:] == b"\n"), default=0
        )
        with Journal.open(tmp_path, {"a": 1}, resume=True) as journal:
            seeds = [record.arm.seed for record in journal.records]
        assert seeds == list(range(len(seeds))) and len(seeds) >= acknowledged
    assert len(seeds) > 12


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE ends a write in its middle there")
def test_a_full_disk_leaves_whole_lines(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from helpers.results_of import run
from ulecli.errors import TargetError
from ulecli.evaluation.results.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Journal.open(Path(sys.argv[1]), {"a": 1}, resume=False) as journal:
    journal.add(run(seed=0))
    size = journal.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))
    try:
        journal.add(run(seed=1))
    except TargetError as error:
        print(error)
    assert journal.path.stat().st_size == size
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.add(run(seed=2))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    assert "can't write to" in done.stdout and "File too large" in done.stdout
    with Journal.open(tmp_path, {"a": 1}, resume=True) as journal:
        assert [record.arm.seed for record in journal.records] == [0, 2] and journal.notes == ()


def test_two_at_once_are_excluded_within_a_process(tmp_path):
    with (
        Journal.open(tmp_path, SAME, resume=False),
        pytest.raises(TargetError, match=r"another evaluation is at work.*--out"),
    ):
        Journal.open(tmp_path, SAME, resume=True)
    Journal.open(tmp_path, SAME, resume=True).close()


def test_two_processes_are_excluded_and_a_dead_one_holds_nothing(tmp_path):
    process = writer(tmp_path, 10)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        with pytest.raises(TargetError, match="another evaluation"):
            Journal.open(tmp_path, {"a": 1}, resume=True)
    finally:
        process.kill()
        process.communicate()
    Journal.open(tmp_path, {"a": 1}, resume=True).close()


def test_a_place_that_can_not_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TargetError, match=r"can't write to .*file"):
            Journal.open(out, SAME, resume=False)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_refusals_leave_no_file_open(tmp_path):
    with Journal.open(tmp_path, SAME, resume=False) as journal:
        journal.add(run())
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for fingerprint in (SAME, {}):
        with pytest.raises(TargetError):
            Journal.open(tmp_path, fingerprint, resume=False)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
