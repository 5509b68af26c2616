from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ulecli.protection.identity import code_of
from ulecli.protection.pairs import pair_up

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ULECLI_MODELS"}
    words = [sys.executable, "-m", "ulecli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def protected(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "key").write_text("75" * 32 + "\n")
    (folder / "key").chmod(0o600)
    done = command("protect", SAMPLES, "-o", folder / "out", "--key-file", folder / "key", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_samples(protected, tmp_path):
    """The whole promise on what ships: bound, metadata, and a cue that reads wherever the photo goes."""
    done = command(
        "verify", SAMPLES, protected / "out", "--json", "--jobs", 2, "--figure", tmp_path / "f.png"
    )
    *pairs, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert summary["pairs"] == len(pairs) >= 6 and summary["exit_code"] == done.returncode
    assert summary["max_change_lossless"] <= 8 and summary["exit_code"] == summary["leaking"] == 0
    for pair in pairs:
        assert pair["psnr_db"] > 28 and 0.7 < pair["ssim"] < 1
        assert pair["ssimulacra2"] < 100 and 0 < pair["flip"] < 0.5
        assert pair["ok"] and pair["marked"] and pair["cue"]["known"]  # the ledger knows the code
        assert pair["cue"]["readings"].keys() >= {"file", "q85", "224"}
    for name, worst in (("ssimulacra2", "min"), ("flip", "max")):
        values = [pair[name] for pair in pairs]
        assert summary[f"{name}_mean"] == pytest.approx(sum(values) / len(values), abs=1e-3)
        assert summary[f"{name}_{worst}"] == {"min": min, "max": max}[worst](values)
    with Image.open(tmp_path / "f.png") as figure:
        assert figure.width == 3 * 480 + 16


def test_with_the_key_the_code_is_known_and_reads(protected):
    done = command(
        "verify", SAMPLES, protected / "out", "--key-file", protected / "key", "--json", "--jobs", 2
    )
    *pairs, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({pair["cue"]["code"] for pair in pairs}) == 1 and all(pair["cue"]["known"] for pair in pairs)
    assert summary["weak"] <= 1
    for reads, asked in summary["cue_reads"].values():
        assert reads >= asked - 1


def test_the_ledger_tells_why_a_copy_is_missing(tmp_path, monkeypatch):
    frames = [Image.new("RGB", (64, 48), (level, 0, 0)) for level in (0, 200)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "moving.png", save_all=True, append_images=frames[1:])
    Image.linear_gradient("L").save(tmp_path / "in" / "still.png")
    command("protect", tmp_path / "in", "-o", tmp_path / "out", "--key-file", tmp_path / "key")
    done = command("verify", tmp_path / "in", tmp_path / "out", "--no-cue")
    assert done.returncode == 3 and "moving.png: has no protected copy: is an animation" in done.stderr
    monkeypatch.chdir(tmp_path)
    assert [pair.protected for pair in pair_up(Path("in"), Path("out"))] == [None, Path("out/still.png")]


def test_in_place_the_ledger_tells_the_codes_and_a_broken_photo_has_no_copy(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "photo.png")
    (tmp_path / "in").mkdir()
    shutil.copy(tmp_path / "photo.png", tmp_path / "in")
    options = ["--in-place", "--backup", tmp_path / "kept", "--key-file", tmp_path / "key"]
    assert command("protect", tmp_path / "in", *options).returncode == 0
    done = command("verify", tmp_path / "kept", tmp_path / "in", "--json")
    (pair, _) = [json.loads(line) for line in done.stdout.splitlines()]
    assert pair["ok"] and pair["cue"]["known"] and "guessed" not in done.stderr
    shutil.copy(tmp_path / "in" / "photo.png", tmp_path / "alone.png")
    (tmp_path / "kept" / "empty.jpg").touch()
    done = command("verify", tmp_path / "kept", tmp_path / "in", "--no-cue")
    assert done.returncode == 3 and "empty.jpg: has no protected copy: is empty" in done.stderr
    done = command("verify", tmp_path / "photo.png", tmp_path / "alone.png")
    assert done.returncode == 0 and "guessed codes: 1 " in done.stderr


def test_another_key_fails_the_run(protected, tmp_path):
    mine = code_of("me", bytes.fromhex((protected / "key").read_text()), 70, 7)
    keys = (bytes([number] * 32) for number in range(256))  # one of the same net, which can't read both
    other = next(
        key for key in keys if (code := code_of("me", key, 70, 7)) != mine and code // 10 == mine // 10
    )
    (tmp_path / "key").write_text(other.hex() + "\n")
    (tmp_path / "key").chmod(0o600)
    names = SAMPLES / "forest.jpg", protected / "out" / "forest.jpg"
    done = command("verify", *names, "--key-file", tmp_path / "key", "--metadata", "keep")
    assert done.returncode == 3 and "forest.jpg: its code is not recognised" in done.stderr


def test_a_table_and_the_names_of_what_fails(protected, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    done = command("verify", SAMPLES, out, "--no-cue")
    assert done.returncode == 3 and done.stdout.startswith(" max   PSNR   SSIM")
    assert (
        done.stdout.count("failed: has no protected copy") == done.stderr.count("has no protected copy") >= 6
    )
    quiet = command("verify", SAMPLES, out, "--no-cue", "-q")
    assert quiet.returncode == 3 and "PSNR" not in quiet.stdout and quiet.stderr == ""


@pytest.fixture
def no_extra(monkeypatch) -> None:
    """As if the packages of the extra `measure` were not installed."""
    monkeypatch.setattr("ulecli.imaging.visibility.find_spec", lambda name: None)


def test_the_eye_in_the_table(ulecli, protected):
    names = SAMPLES / "forest.jpg", protected / "out" / "forest.jpg"
    done = ulecli("verify", *names, "--no-cue")
    heading, row = (line.split() for line in done.out.splitlines())
    assert heading[:5] == ["max", "PSNR", "SSIM", "SSIM2", "FLIP"]
    mean, *_ = re.findall(r"SSIMULACRA2 (\S+) mean", done.err)
    assert done.code == 0 and row[3] == mean and float(row[4]) > 0 and "not measured" not in done.err
    without = ulecli("verify", *names, "--no-cue", "--no-visibility")
    assert without.code == 0 and "SSIM2" not in without.out and "SSIMULACRA2" not in without.err


def test_without_the_extra_one_line_names_it_and_nothing_fails(ulecli, protected, no_extra):
    names = SAMPLES / "forest.jpg", protected / "out" / "forest.jpg"
    done = ulecli("verify", *names, "--no-cue")
    assert done.code == 0 and "SSIM2" not in done.out
    assert [line for line in done.err.splitlines() if "pip install '.[measure]'" in line]
    lines = ulecli("verify", *names, "--no-cue", "--json").out.splitlines()
    pair, summary = map(json.loads, lines)
    assert pair["ssimulacra2"] is pair["flip"] is summary["ssimulacra2_min"] is summary["flip_mean"] is None
    assert pair["ssim"] and pair["ok"]
    asked = ulecli("verify", *names, "--no-cue", "--visibility")
    assert asked.code == 9 and "pip install '.[measure]'" in asked.err and asked.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gone", "gone"], 4, "does not exist"),
        ([SAMPLES, SAMPLES / "forest.jpg"], 2, "not one of each"),
        ([SAMPLES, SAMPLES, "--eps", "0"], 2, "--eps is 0, but must be a whole number of levels, 1 to 32"),
        (
            [SAMPLES, SAMPLES, "--eps", "7.5"],
            2,
            "--eps is 7.5, but must be a whole number of levels, 1 to 32",
        ),
        ([SAMPLES, SAMPLES, "--key-file", "gone"], 10, "no key"),
        ([SAMPLES, SAMPLES, "--key-file", "gone", "--no-cue"], 2, "--no-cue"),
        ([SAMPLES, SAMPLES, "--surrogate", "gone"], 8, "no surrogate"),
    ],
)
def test_bad_input_ends_in_a_line_and_a_code(arguments, code, words):
    done = command("verify", *arguments)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
