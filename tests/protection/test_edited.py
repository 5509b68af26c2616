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

from ulecli.protection import decision
from ulecli.protection.config import ProtectConfig
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


def as_of_schema_1(ledger: Path) -> None:
    connection = sqlite3.connect(ledger)
    connection.executescript(
        "DROP INDEX photos_by_image;"
        + "".join(
            f"ALTER TABLE {table} DROP COLUMN {column};"
            for table in ("photos", "intended")
            for column in ("source_ctime_ns", "image_sha256")
        )
        + "PRAGMA user_version = 1;"
    )
    connection.close()


def version(ledger: Path) -> int:
    connection = sqlite3.connect(ledger)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_a_ledger_of_the_first_schema_is_taken_up(config, monkeypatch):
    first = run(config)
    ledger = config.output / NAME
    as_of_schema_1(ledger)
    assert [pair.code for pair in pair_up(config.sources[0], config.output)] == [one.code for one in first]
    assert statuses(run(replace(config, dry_run=True))) == UNCHANGED and version(ledger) == 1
    hashed = count_hashes(monkeypatch)
    assert statuses(run(config)) == UNCHANGED and len(hashed) == len(ENDINGS) and version(ledger) == SCHEMA
    assert statuses(run(config)) == UNCHANGED and len(hashed) == len(ENDINGS)
    with opened(ledger) as upgraded:
        assert all(entry.source_fingerprint.ctime_ns for entry in upgraded.entries())


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
