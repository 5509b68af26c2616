from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ulecli.imaging.variants import VARIANTS
from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME, reading
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


def with_key(path: Path, digits: str) -> Path:
    """Write a key."""
    path.write_text(digits + "\n")
    path.chmod(0o600)
    return path


def test_the_samples(protected, tmp_path):
    """The whole promise on what ships: bound, metadata, and a cue recognised wherever the photo goes."""
    done = command(
        "verify", SAMPLES, protected / "out", "--json", "--jobs", 2, "--figure", tmp_path / "f.png"
    )
    *pairs, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert summary["pairs"] == len(pairs) >= 6 and summary["exit_code"] == done.returncode
    assert summary["max_change_lossless"] <= 8 and summary["exit_code"] == summary["leaking"] == 0
    for pair in pairs:
        assert pair["psnr_db"] > 28 and 0.7 < pair["ssim"] < 1
        assert pair["ssimulacra2"] < 100 and 0 < pair["flip"] < 0.5
        assert pair["ok"] and pair["marked"]
        assert {"file", "q85", "224"} <= pair["cue"].keys() <= set(VARIANTS)
        for variant, seen in pair["cue"].items():
            assert seen.keys() == {"recognised", "shift", "cosine"}
            assert seen["recognised"] and seen["shift"] > 0 and seen["cosine"] <= 1, (pair, variant)
    for variant, share in summary["cue_recognised"].items():
        assert share == [sum(variant in pair["cue"] for pair in pairs)] * 2
    assert summary["cue_recognised"].keys() == set().union(*(pair["cue"] for pair in pairs))
    assert summary["weak"] == 0 and summary["schema"] == pairs[0]["schema"] == 2
    for name, worst in (("ssimulacra2", "min"), ("flip", "max")):
        values = [pair[name] for pair in pairs]
        assert summary[f"{name}_mean"] == pytest.approx(sum(values) / len(values), abs=1e-3)
        assert summary[f"{name}_{worst}"] == {"min": min, "max": max}[worst](values)
    with Image.open(tmp_path / "f.png") as figure:
        assert figure.width == 3 * 480 + 16


def test_with_the_key_the_direction_is_that_of_the_ledger(protected):
    run = ("verify", SAMPLES / "forest.jpg", protected / "out" / "forest.jpg", "--json")
    by_key = command(*run, "--key-file", protected / "key", "--identity", "me")
    assert by_key.returncode == 0 and by_key.stdout == command(*run).stdout


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


def test_in_place_the_ledger_tells_the_direction_and_a_broken_photo_has_no_copy(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(SAMPLES / "dunes.jpg", tmp_path / "in")
    options = ["--in-place", "--backup", tmp_path / "kept", "--key-file", tmp_path / "key"]
    assert command("protect", tmp_path / "in", *options).returncode == 0
    done = command("verify", tmp_path / "kept", tmp_path / "in", "--json")
    (pair, _) = [json.loads(line) for line in done.stdout.splitlines()]
    assert pair["ok"] and pair["cue"]["file"]["recognised"] and "no ledger" not in done.stderr
    (tmp_path / "kept" / "empty.jpg").touch()
    done = command("verify", tmp_path / "kept", tmp_path / "in", "--no-cue")
    assert done.returncode == 3 and "empty.jpg: has no protected copy: is empty" in done.stderr


def test_with_no_ledger_no_cue_is_looked_for_and_one_line_says_so(protected, tmp_path):
    shutil.copy(protected / "out" / "forest.jpg", tmp_path / "alone.jpg")
    run = ("verify", SAMPLES / "forest.jpg", tmp_path / "alone.jpg", "--no-visibility")
    done = command(*run, "--json")
    pair, summary = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0 and pair["ok"] and pair["cue"] is None
    assert summary["cue_recognised"] == {} and summary["weak"] == 0
    assert done.stderr.count("no ledger") == 1 and "  cue " not in done.stderr
    assert "no ledger" not in command(*run, "--quiet").stderr + command(*run, "--no-cue").stderr


@pytest.mark.parametrize(
    ("digits", "identity", "words"),
    [
        ("76" * 32, "me", "no photos of me were protected there under that key"),
        ("75" * 32, "ada", "photos of ada"),
    ],
    ids=["another key", "another name"],
)
def test_a_direction_that_the_ledger_does_not_know(protected, tmp_path, digits, identity, words):
    key = with_key(tmp_path / "key", digits)
    names = SAMPLES / "forest.jpg", protected / "out" / "forest.jpg"
    done = command("verify", *names, "--key-file", key, "--identity", identity)
    assert done.returncode == 10 and words in done.stderr and done.stderr.count("\n") == 1


def test_a_key_is_of_no_use_without_the_ledger(protected, tmp_path):
    shutil.copy(protected / "out" / "forest.jpg", tmp_path / "alone.jpg")
    run = ("verify", SAMPLES / "forest.jpg", tmp_path / "alone.jpg", "--key-file", protected / "key")
    done = command(*run)
    assert done.returncode == 11 and "there is no ledger" in done.stderr and done.stderr.count("\n") == 1


def test_the_json_of_protect_names_the_direction_that_the_ledger_keeps(protected, tmp_path):
    with reading(protected / "out" / NAME) as ledger:
        (kept,) = ledger.directions()
    run = (
        "protect",
        SAMPLES / "dunes.jpg",
        "-o",
        protected / "out",
        "--key-file",
        protected / "key",
        "--json",
    )
    photo, summary = map(json.loads, command(*run, "--dry-run").stdout.splitlines())
    assert photo["schema"] == summary["schema"] == 3
    assert photo["direction"] == summary["identities"][0]["direction"] == name_of(kept)


@pytest.fixture
def exchanged(protected, tmp_path) -> Path:
    """The protected samples, of which a few are only the originals, stored once more."""
    shutil.copytree(protected / "out", tmp_path / "out")
    return tmp_path / "out"


def exchange(folder: Path, names: list[Path]) -> None:
    for name in names:
        with Image.open(SAMPLES / name) as picture:
            ImageOps.exif_transpose(picture).save(folder / name, quality=90)


def test_what_was_exchanged_for_the_original_is_weak_and_too_many_fail_the_run(exchanged):
    photos = sorted(path.relative_to(exchanged) for path in exchanged.rglob("*.jpg"))
    few, most = photos[:1], photos
    total = len([path for path in exchanged.rglob("*") if path.suffix in (".jpg", ".png", ".webp")])
    assert len(few) <= total / 2 < len(most)
    for names, code in ((few, 0), (most, 3)):
        exchange(exchanged, names)
        done = command("verify", SAMPLES, exchanged, "--json", "--no-visibility", "--jobs", 2)
        *pairs, summary = [json.loads(line) for line in done.stdout.splitlines()]
        weak = {
            Path(pair["original"]).relative_to(SAMPLES)
            for pair in pairs
            if not pair["cue"]["file"]["recognised"]
        }
        assert weak == set(names) and all(pair["ok"] for pair in pairs)
        assert done.returncode == summary["exit_code"] == code and summary["weak"] == len(names)
        assert done.stderr.count(": its cue is not recognised") == len(names)


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
