"""`ulecli protect` on a library: lists, in place, what it reports to programs, and how it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, scene

from ulecli.protection.json_records import SCHEMA

FIELDS = {
    *(
        "type",
        "schema",
        "source",
        "target",
        "status",
        "reason",
        "format",
        "width",
        "height",
        "identity",
        "direction",
    ),
    *("max_change", "psnr_db", "max_change_on_disk", "psnr_db_on_disk", "seconds", "recognised"),
}
NAMES = {"one.jpg", "a/IMG_1.png", "b/deep/IMG_1.png", "a/Zürich 東京.webp"}


def made(root: Path) -> set[str]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".ulecli")]
    return {path.relative_to(root).as_posix() for path in files}


def records(out: str) -> tuple[list[dict], dict]:
    *photos, summary = [json.loads(line) for line in out.splitlines()]
    return photos, summary


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p", "--in-place"], "--backup DIR"),
        (["p", "--in-place", "--backup", "b", "--no-backup"], "one of the two"),
        (["p", "--in-place", "--no-backup", "-o", "out"], "--output"),
        (["p", "--backup", "b"], "--in-place"),
        (["p", "--no-backup"], "--in-place"),
        (["p", "--timeout", "-1"], "--timeout"),
        (["p", "--max-pixels", "0"], "--max-pixels"),
        (["p", "--metadata", "some"], "--metadata"),
        (["p/x.png", "--watch"], "folders"),
        (["p", "--watch", "--dry-run"], "--dry-run"),
        (["--files-from", "empty"], "lists no file"),
        (["--files-from", "nul"], "-0"),
    ],
)
def test_options_that_can_not_be_right(ulecli, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    scene(8, 8).save(tmp_path / "p" / "x.png")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "nul").write_bytes(b"p/x.png\0")
    before = (tmp_path / "p" / "x.png").read_bytes()
    result = ulecli("protect", *arguments)
    assert result.code == 2 and words in result.err and result.out == ""
    assert (tmp_path / "p" / "x.png").read_bytes() == before and made(tmp_path) == {"p/x.png", "empty", "nul"}


def test_a_list_that_is_not_there(ulecli, tmp_path):
    assert ulecli("protect", "--files-from", tmp_path / "gone").code == 4


def test_in_place(ulecli, photo_folder, tmp_path):
    before = {name: (photo_folder / name).read_bytes() for name in NAMES}
    result = ulecli("protect", photo_folder, "--in-place", "--backup", tmp_path / "kept")
    assert result.code == 0 and "4 protected" in result.err
    assert made(tmp_path / "kept") == NAMES
    for name, content in before.items():
        assert (tmp_path / "kept" / name).read_bytes() == content != (photo_folder / name).read_bytes()


def test_globs(ulecli, photo_folder, tmp_path):
    options = ["--include", "*.png", "--include", "*.webp", "--exclude", "deep"]
    assert ulecli("protect", photo_folder, "-o", tmp_path / "out", *options).code == 0
    assert made(tmp_path / "out") == {"a/IMG_1.png", "a/Zürich 東京.webp"}
    assert ulecli("protect", photo_folder, "-o", tmp_path / "flat", "--no-recursive").code == 0
    assert made(tmp_path / "flat") == {"one.jpg"}


@pytest.mark.parametrize("null", [False, True])
def test_a_list_in_a_file(ulecli, photo_folder, tmp_path, monkeypatch, null):
    monkeypatch.chdir(photo_folder)
    names = [os.fsencode(name) for name in NAMES]
    if null:
        odd = b"b/new\nline \xff.png"
        scene(8, 8).save(os.fsdecode(odd), "PNG")
        names.append(odd)
    (tmp_path / "list").write_bytes(b"".join(name + (b"\0" if null else b"\n") for name in names))
    options = ["--files-from", tmp_path / "list", "-o", tmp_path / "out", *(["-0"] if null else [])]
    assert ulecli("protect", *options).code == 0
    assert made(tmp_path / "out") == {os.fsdecode(name) for name in names}
    assert f"{len(names)} unchanged" in ulecli("protect", *options).err


def test_names_with_a_dash_in_front(ulecli, photo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene(8, 8).save("-o.png")
    assert ulecli("protect", "-o", "out", "--", "-o.png").code == 0
    assert made(tmp_path / "out") == {"-o.png"}


def test_what_programs_are_told(ulecli, photo_folder, tmp_path):
    (photo_folder / "bad.jpg").write_bytes(b"")
    for written, unchanged in ((4, 0), (0, 4)):
        result = ulecli("protect", photo_folder, "-o", tmp_path / "out", "--json")
        photos, summary = records(result.out)
        assert {record["schema"] for record in (*photos, summary)} == {SCHEMA} == {3}
        assert (summary["written"], summary["unchanged"]) == (written, unchanged)
        assert (summary["failed"], summary["skipped"], summary["planned"], summary["left"]) == (1, 0, 0, 0)
        assert len(photos) == 5 and result.code == summary["exit_code"] == 3
        for record in photos:
            assert set(record) == FIELDS
            assert record["psnr_db"] or record["status"] == "failed"


def test_a_damaged_ledger_ends_in_a_line(ulecli, photo_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".ulecli.sqlite").write_bytes(b"no database" * 1000)
    result = ulecli("protect", photo_folder, "-o", tmp_path / "out")
    assert result.code == 11 and "damaged" in result.err and result.err.count("\n") == 1


ENDED = """
import sys, time
sys.path[:] = {path!r}
from types import SimpleNamespace
from conftest import FullSwing

class Slow(FullSwing):
    def __call__(self, *arguments, **settings):
        time.sleep(0.3)
        return super().__call__(*arguments, **settings)

sys.modules["ulecli.surrogates.opening"] = SimpleNamespace(open_perturber=lambda *names, **settings: Slow())
from ulecli.cli import main
main(sys.argv[1:])
"""


def eight(folder: Path) -> list[object]:
    """Write eight photos and return the arguments of `protect` for them."""
    (folder / "in").mkdir()
    for seed in range(8):
        scene(8, 8, seed).save(folder / "in" / f"{seed}.png")
    return [folder / "in", "-o", folder / "out", "--key-file", folder / "key", "--json", "--jobs", 1]


def started(*arguments: object) -> subprocess.Popen[str]:
    script = ENDED.format(path=[str(ROOT), str(ROOT / "tests"), *sys.path])
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_the_next_goes_on(ulecli, tmp_path, number, code):
    options = eight(tmp_path)
    with started("protect", *options) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    photos, summary = records(first + out)
    assert process.returncode == summary["exit_code"] == code
    assert summary["left"] == 8 - len(photos) > 0 and "left for the next run" in err
    assert len(made(tmp_path / "out")) == len(photos) == summary["written"]
    _, summary = records(ulecli("protect", *options).out)
    assert (summary["unchanged"], summary["written"]) == (len(photos), 8 - len(photos))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_the_second_signal_gives_up_what_is_in_work(tmp_path):
    options = eight(tmp_path)
    with started("protect", *options) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_watch_ends_cleanly(tmp_path):
    pytest.importorskip("watchfiles")
    (tmp_path / "in").mkdir()
    scene(8, 8).save(tmp_path / "in" / "x.png")
    options = [tmp_path / "in", "-o", tmp_path / "out", "--key-file", tmp_path / "key", "--watch", "--json"]
    with started("protect", *options) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    _, summary = records(first + out)
    assert process.returncode == summary["exit_code"] == 0 and summary["written"] == 1
    assert "watching" in err and "1 protected" in err


NO_NETWORK = """
import os, sys

def refuse(event, arguments):
    if event.startswith("socket."):
        os.write(2, ("NETWORK " + event + "\\n").encode())
        os._exit(99)

sys.addaudithook(refuse)
"""


@pytest.mark.parametrize("arguments", [(), ("--json", "--verify", "--jobs", "2")])
def test_no_socket_is_opened(photo_folder, tmp_path, arguments):
    """Neither by the program nor by what it starts, with the surrogate that ships."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    program = "import socket; socket.socket()"
    refused = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert refused.returncode == 99 and b"NETWORK" in refused.stderr
    command = [sys.executable, "-m", "ulecli", "protect", str(photo_folder), "-o", str(tmp_path / "out")]
    command += ["--key-file", str(tmp_path / "key"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "NETWORK" not in done.stderr
    assert made(tmp_path / "out") == NAMES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ulecli pro", "protect"),
        ("ulecli protect --in-p", "--in-place"),
        ("ulecli protect --metadata ", "private"),
    ],
)
def test_shell_completion(words, expected):
    environment = {
        **os.environ,
        "_ULECLI_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    program = "from ulecli.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert expected in done.stdout.split()
