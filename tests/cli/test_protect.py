from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, scene

from ulecli.errors import DeviceUnavailable, ExitCode


def names(root: Path) -> set[str]:
    """All files but ledgers."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".ulecli.sqlite"]
    return {str(path.relative_to(root)) for path in files}


def test_a_folder(ulecli, photo_folder):
    result = ulecli("protect", photo_folder)
    assert result.code == 0 and result.out == ""
    assert "4 protected, 0 skipped, 0 failed" in result.err
    assert "a test" in result.err and "swing 01234567" in result.err and "dB" in result.err
    assert names(photo_folder.with_name("photos-protected")) == {
        "one.jpg",
        "a/IMG_1.png",
        "b/deep/IMG_1.png",
        "a/Zürich 東京.webp",
    }


def test_a_second_run_leaves_the_output_alone(ulecli, photo_folder):
    ulecli("protect", photo_folder)
    again = ulecli("protect", photo_folder, photo_folder.with_name("photos-protected"))
    assert again.code == 0 and "0 protected, 4 unchanged, 1 skipped" in again.err


def test_the_first_line_says_what_will_happen(ulecli, photo_folder):
    arguments = ["protect", photo_folder, "--eps", 6]
    out = photo_folder.with_name("photos-protected")
    first = ulecli(*arguments, "--dry-run").err.splitlines()[0]
    assert first.startswith(f"ulecli: this would protect 4 photos of {photo_folder} into {out}, ")
    first = ulecli(*arguments).err.splitlines()[0]
    assert first.startswith(f"ulecli: protecting 4 photos of {photo_folder} into {out}, ")
    assert "(--eps 6)" in first
    assert "protecting" not in ulecli(*arguments, "--json").err + ulecli(*arguments, "--quiet").err


def test_some_failed(ulecli, photo_folder, tmp_path):
    (photo_folder / "bad.jpg").write_text("no photo")
    result = ulecli("protect", photo_folder, "-o", tmp_path / "out")
    assert result.code == 3
    assert "4 protected, 0 skipped, 1 failed" in result.err and "bad.jpg: is no photo" in result.err
    assert len(names(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 4, "nowhere does not exist"),
        (["empty"], 5, "there is no JPEG"),
        (["p", "--eps", "0"], 2, "1 to 32"),
        (["p", "--eps", "33"], 2, "1 to 32"),
        (["p", "--eps", "eight"], 2, "--eps is eight, but must be a whole number of levels, 1 to 32"),
        (["p", "--eps", "7.5"], 2, "--eps is 7.5, but must be a whole number of levels, 1 to 32"),
        (["p", "--eps", "8/256"], 2, "--eps is 8/256, but must be a whole number of levels, 1 to 32"),
        (["p", "--jobs", "0"], 2, "--jobs"),
        (["p", "--identity", ""], 2, "--identity"),
        (["p", "--device", "abacus"], 2, "abacus"),
        ([], 2, "PATH"),
        (["p", "-o", "p/out"], 6, "inside the source"),
        (["p", "-o", "p"], 6, "source itself"),
        (["p", "-o", "file"], 6, "not a folder"),
        (["p", "-o", "file/below"], 6, "not a folder"),
        (["p/x.png", "-o", "p"], 6, "replace the source"),
        (["p", "--key-file", "file"], 10, "not a key"),
    ],
)
def test_bad_input_ends_in_a_line_and_a_code(ulecli, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no key")
    scene().save(tmp_path / "p" / "x.png")
    before = names(tmp_path)
    result = ulecli("protect", *arguments)
    assert result.code == code
    assert words in result.err and result.out == "" and "Traceback" not in result.err
    assert names(tmp_path) == before


def test_a_missing_path_is_told_before_the_surrogate_is_opened(ulecli, photo_folder, monkeypatch):
    opened = []
    monkeypatch.setattr("ulecli.surrogates.opening.open_perturber", lambda *a, **k: opened.append(a))
    result = ulecli("protect", photo_folder, "nowhere")
    assert result.code == 4 and "nowhere does not exist" in result.err and opened == []


def test_what_was_read_back_is_told(ulecli, photo_folder, tmp_path):
    result = ulecli("protect", photo_folder, "-o", tmp_path / "some", "--json")
    assert "1 of 4 read back; --verify reads back all" in result.err
    records = [json.loads(line) for line in result.out.splitlines()]
    assert records[-1]["read_back"] == 1 and records[-1]["max_change_on_disk"] is not None
    assert sum(one["max_change_on_disk"] is not None for one in records[:-1]) == 1
    result = ulecli("protect", photo_folder, "-o", tmp_path / "all", "--json", "--verify")
    assert "4 of 4 read back\n" in result.err
    assert json.loads(result.out.splitlines()[-1])["read_back"] == 4


def test_a_device_that_can_not_be_had(ulecli, photo_folder, monkeypatch):
    def refuse(name, *, device, threads):
        raise DeviceUnavailable("there is no cuda here; use --device cpu")

    monkeypatch.setattr("ulecli.surrogates.opening.open_perturber", refuse)
    result = ulecli("protect", photo_folder, "--device", "cuda")
    assert result.code == 7
    assert result.err == "ulecli: error: there is no cuda here; use --device cpu\n"


def test_an_unknown_error_keeps_its_traceback(ulecli, photo_folder, monkeypatch):
    monkeypatch.setattr("ulecli.protection.run.protect", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ulecli("protect", photo_folder)


def test_interrupted(ulecli, photo_folder, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("ulecli.protection.run.protect", interrupt)
    result = ulecli("protect", photo_folder)
    assert result.code == 130 and "interrupted" in result.err


def test_json_is_lines_on_stdout_and_nothing_else(ulecli, photo_folder, tmp_path):
    odd = photo_folder / os.fsdecode(b"\xff\n.png")
    try:
        scene().save(odd, "PNG")
    except OSError:
        pytest.skip("this file system takes no such name")
    (photo_folder / "bad.jpg").write_bytes(b"")
    result = ulecli("protect", photo_folder, "-o", tmp_path / "out", "--json", "--jobs", 2)
    *photos, summary = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == summary["exit_code"] == 3
    assert {record["type"] for record in photos} == {"photo"} and summary["type"] == "summary"
    assert len(photos) == 6 and summary["written"] == 5 and summary["failed"] == 1
    (reported,) = [record for record in photos if "source_bytes" in record]
    assert base64.b64decode(reported["source_bytes"]) == os.fsencode(odd)
    assert reported["source"] == str(odd).replace("\udcff", "\ufffd")
    assert os.fsdecode(base64.b64decode(reported["target_bytes"])) == str(tmp_path / "out" / odd.name)
    assert summary["psnr_db_min"] <= summary["psnr_db_mean"]
    changes = [record["max_change"] for record in photos if record["status"] == "written"]
    assert 0 < summary["max_change"] == max(changes) <= 8
    assert {record["schema"] for record in (*photos, summary)} == {3} and "code" not in photos[0]
    directions = {record["direction"] for record in photos if record["status"] == "written"}
    assert directions == {it["direction"] for it in summary["identities"]} and len(directions) == 1
    assert re.fullmatch("[0-9a-f]{16}", *directions)


def test_quiet_tells_only_what_failed(ulecli, photo_folder):
    assert ulecli("protect", photo_folder, "--quiet").err == ""
    (photo_folder / "bad.jpg").write_bytes(b"")
    result = ulecli("protect", photo_folder, "-q")
    assert result.code == 3 and result.out == ""
    assert result.err.count("\n") == 1 and "bad.jpg: is empty" in result.err


def test_dry_run(ulecli, photo_folder, tmp_path, config_home):
    before = names(tmp_path)
    result = ulecli("protect", photo_folder, "--dry-run", "--json")
    assert result.code == 0 and "4 would be protected" in result.err
    assert {json.loads(line).get("status") for line in result.out.splitlines()} == {"planned", None}
    assert names(tmp_path) == before and names(config_home) == set()


def test_the_key_is_made_in_the_configuration_folder(ulecli, photo_folder, config_home):
    assert "made your key" in ulecli("protect", photo_folder).err
    assert names(config_home) == {"ulecli/key"}
    assert "made your key" not in ulecli("protect", photo_folder).err


def test_identity_from_folder(ulecli, photo_folder, tmp_path):
    result = ulecli("protect", photo_folder, "-o", tmp_path / "out", "--identity-from", "folder", "--json")
    records = [json.loads(line) for line in result.out.splitlines()]
    assert {one["name"] for one in records[-1]["identities"]} == {"photos", "a", "deep"}
    assert {Path(one["source"]).parent.name for one in records[:-1] if one["identity"] == "a"} == {"a"}


def test_a_bar_on_a_terminal_and_only_there(ulecli, photo_folder, monkeypatch):
    assert "\r" not in ulecli("protect", photo_folder).err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "4/4" in ulecli("protect", photo_folder).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in ulecli("protect", photo_folder).err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_stdout_is_an_error_in_one_line():
    command = [sys.executable, "-m", "ulecli", "man", "--markdown", "protect"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "ulecli: error: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="streams are closed by a shell")
def test_with_stderr_closed_stdout_holds_records_alone(photo_folder):
    command = shlex.join([sys.executable, "-m", "ulecli", "protect", "--json", "-n", str(photo_folder)])
    closed = ["sh", "-c", f"exec {command} 0<&- 2>&-"]
    ended = subprocess.run(closed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert [json.loads(line)["type"] for line in ended.stdout.splitlines()] == ["photo"] * 4 + ["summary"]


def test_help_says_how():
    shown = subprocess.run(
        [sys.executable, "-m", "ulecli", "protect", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in (
        "Examples:",
        "-o, --output",
        "--eps",
        "--identity-from",
        "--key-file",
        "--device",
        "--dry-run",
    ):
        assert word in shown


def test_nothing_heavy_is_imported_for_help():
    code = "import sys, ulecli.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "PIL", "rich", "onnxruntime", "platformdirs", "safetensors"}
    assert not heavy & set(loaded.stdout.split())


def test_another_strength_makes_the_photos_anew_and_eps_bounds_every_one(photo_folder, tmp_path, ulecli):
    run = ("protect", photo_folder, "-o", tmp_path / "out", "--json", "--verify")
    ways = [(), ("--strength", "strong"), ("--strength", "strong"), ("--strength", "subtle"), ()]
    plain, strong, same, subtle, again = (
        json.loads(ulecli(*run, *more).out.splitlines()[-1]) for more in ways
    )
    assert [it["written"] for it in (plain, strong, same, subtle, again)] == [4, 4, 0, 4, 4]
    assert [it["strength"] for it in (plain, strong, subtle)] == ["default", "strong", "subtle"]
    assert subtle["psnr_db_mean"] > plain["psnr_db_mean"] == again["psnr_db_mean"] > strong["psnr_db_mean"]
    bounded = ulecli(*run, "--strength", "strong", "--eps", 2).out.splitlines()
    assert json.loads(bounded[-1])["max_change"] == 2 < strong["max_change"]


def test_a_strength_that_there_is_none(ulecli, photo_folder):
    result = ulecli("protect", photo_folder, "--strength", "bold")
    assert result.code == 2 and "bold" in result.err and "subtle" in result.err


def test_without_ray_one_line_says_how_it_is_installed(ulecli, photo_folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ulecli.protection.ray_photos", raising=False)
    done = ulecli("protect", photo_folder, "--workers", "ray")
    assert done.code == ExitCode.MISSING_EXTRA and "--workers ray needs ray: pip install '.[ray]'" in done.err
    assert len(done.err.splitlines()) == 1
