"""Photos and copies that other programs have touched: what counts as changed, and what is known again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FullSwing, scene
from helpers.old_ledgers import as_old

from ulecli.protection import decision
from ulecli.protection.config import ProtectConfig
from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME, SCHEMA, opened
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.pairs import pair_up
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")
EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(not EXIFTOOL, reason="exiftool is not installed")
ENDINGS = ("jpg", "png", "webp", "tif", "avif")


@pytest.fixture
def config(tmp_path) -> ProtectConfig:
    (tmp_path / "in").mkdir()
    for seed, ending in enumerate(ENDINGS):
        scene(48, 32, seed).save(tmp_path / "in" / f"{seed}.{ending}")
    return ProtectConfig((tmp_path / "in",), tmp_path / "out")


def run(config: ProtectConfig) -> list[PhotoOutcome]:
    return list(protect(config, FullSwing()).outcomes)


def statuses(outcomes: list[PhotoOutcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


UNCHANGED = [Status.UNCHANGED] * len(ENDINGS)


def edit(folder: Path, *options: str) -> None:
    files = [str(path) for path in folder.iterdir() if not path.name.startswith(".")]
    command = [EXIFTOOL or "", "-q", "-overwrite_original", *options, *files]
    subprocess.run(command, check=True, capture_output=True)


def exiftool_that_keeps_size_and_time(path: Path) -> None:
    """What `exiftool -P -Orientation#=6` does."""
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-40] + bytes(reversed(content[-40:])))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_a_photo_that_kept_its_size_and_time_is_done_again(config):
    path = config.sources[0] / "9.bmp"
    scene(48, 32, 9).save(path)
    run(config)
    exiftool_that_keeps_size_and_time(path)
    assert statuses(run(config)) == [*UNCHANGED, Status.WRITTEN]
    assert statuses(run(config)) == [*UNCHANGED, Status.UNCHANGED]


def count_hashes(monkeypatch) -> list[Path]:
    hashed: list[Path] = []
    real = decision.file_sha256
    monkeypatch.setattr(decision, "file_sha256", lambda path: hashed.append(path) or real(path))
    return hashed


def test_a_photo_is_read_once_if_only_its_time_of_change_moved(config, monkeypatch):
    run(config)
    hashed = count_hashes(monkeypatch)
    assert statuses(run(config)) == UNCHANGED and hashed == []
    for path in config.sources[0].iterdir():
        path.chmod(0o600)
    assert statuses(run(config)) == UNCHANGED and len(hashed) == len(ENDINGS)
    assert statuses(run(config)) == UNCHANGED and len(hashed) == len(ENDINGS)


def version(ledger: Path) -> int:
    connection = sqlite3.connect(ledger)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("schema", [1, 2])
def test_photos_of_a_ledger_of_codes_are_made_anew(config, monkeypatch, schema):
    first = run(config)
    ledger = config.output / NAME
    as_old(ledger, schema)
    pairs = pair_up(config.sources[0], config.output)
    assert [pair.protected for pair in pairs] == [one.target for one in first]
    assert {pair.direction is None for pair in pairs} == {True}
    planned = statuses(run(replace(config, dry_run=True)))
    assert planned == [Status.PLANNED] * len(ENDINGS) and version(ledger) == schema
    hashed = count_hashes(monkeypatch)
    again = run(config)
    assert statuses(again) == statuses(first) and version(ledger) == SCHEMA
    # The first schema did not record the time of change, so the photos are read once.
    assert len(hashed) == (len(ENDINGS) if schema == 1 else 0)
    assert [one.target for one in again] == [one.target for one in first]
    assert not any(one.reason for one in again)  # the former copies are replaced, not set aside
    hashed.clear()
    assert statuses(run(config)) == UNCHANGED and hashed == []
    with opened(ledger) as upgraded:
        assert all(entry.source_fingerprint.ctime_ns for entry in upgraded.entries())
        assert [name_of(it) for it in upgraded.directions()] == [again[0].direction]
    pairs = pair_up(config.sources[0], config.output)
    assert {name_of(pair.direction) for pair in pairs} == {again[0].direction}


@pytest.mark.parametrize("schema", [1, 2])
def test_photos_in_place_of_a_ledger_of_codes_are_left_and_named(config, schema):
    config = replace(config, output=None, in_place=True, backup=config.sources[0].with_name("kept"))
    run(config)
    as_old(config.sources[0] / NAME, schema)
    after = {path.name: path.read_bytes() for path in config.sources[0].iterdir() if path.name != NAME}
    scene(48, 32, 9).save(config.sources[0] / "9.png")
    for new in (Status.WRITTEN, Status.UNCHANGED):
        *left, outcome = run(config)
        assert outcome.status is new and outcome.direction
        assert {one.status for one in left} == {Status.SKIPPED}
        assert all("other settings; put the original back" in one.reason for one in left)
    assert after.items() <= {path.name: path.read_bytes() for path in config.sources[0].iterdir()}.items()
    kept = config.backup / "0.jpg"
    kept.replace(config.sources[0] / "0.jpg")
    assert statuses(run(config)) == [Status.WRITTEN, *statuses(left)[1:], Status.UNCHANGED]


@needs_exiftool
@pytest.mark.parametrize("options", [("-XMP:Rating=5", "-Artist=me"), ("-all=",)])
def test_in_place_what_a_tool_has_rewritten_is_not_protected_twice(config, options):
    config = replace(config, output=None, in_place=True)
    assert statuses(run(config)) == [Status.WRITTEN] * len(ENDINGS)
    edit(config.sources[0], *options)
    before = {path.name: path.read_bytes() for path in config.sources[0].iterdir() if path.suffix}
    for more in ({}, {"dry_run": True}, {}):
        assert statuses(run(replace(config, **more))) == UNCHANGED
    for path in list(config.sources[0].iterdir()):  # another name is no other photo
        if not path.name.startswith("."):
            path.rename(path.with_name(f"renamed {path.name}"))
    assert statuses(run(replace(config, force=True))) == [Status.SKIPPED] * len(ENDINGS)
    after = {path.name: path.read_bytes() for path in config.sources[0].iterdir() if path.suffix}
    assert {f"renamed {name}": content for name, content in before.items() if name[0] != "."} == {
        name: content for name, content in after.items() if name[0] != "."
    }


@needs_exiftool
def test_a_copy_that_was_tagged_stays_and_is_kept_when_the_photo_changes(config):
    run(config)
    edit(config.output, "-XMP:Rating=5")
    tagged = (config.output / "1.png").read_bytes()
    assert statuses(run(config)) == UNCHANGED == statuses(run(config))
    assert (config.output / "1.png").read_bytes() == tagged
    scene(48, 32, 77).save(config.sources[0] / "1.png")
    (outcome,) = [one for one in run(config) if one.status is Status.WRITTEN]
    assert "1-2.png" in outcome.reason and (config.output / "1-2.png").read_bytes() == tagged


@needs_exiftool
def test_a_copy_that_comes_back_among_the_photos_is_not_protected_again(config):
    run(config)
    for path in list(config.output.glob("*.*")):
        if not path.name.startswith("."):
            shutil.copy(path, config.sources[0] / f"from out {path.name}")
    edit(config.sources[0], "-all=")
    outcomes = [one for one in run(config) if one.source.name.startswith("from out")]
    assert [one.status for one in outcomes] == [Status.SKIPPED] * len(ENDINGS)
    assert all("twice" in one.reason for one in outcomes)


def test_other_pixels_in_place_are_protected(config):
    config = replace(config, output=None, in_place=True)
    run(config)
    scene(48, 32, 50).save(config.sources[0] / "0.jpg")
    assert statuses(run(config)) == [Status.WRITTEN, *UNCHANGED[1:]]
