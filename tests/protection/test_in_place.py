from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FullSwing, scene
from PIL import Image

from ulecli.protection import backup
from ulecli.protection.config import ProtectConfig
from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME, opened
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")


@pytest.fixture
def config(tmp_path) -> ProtectConfig:
    for seed, name in enumerate(("a.png", "sub/b.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(24, 16, seed).save(path)
        path.chmod(0o640)
        os.utime(path, (1e9, 1e9))
    return ProtectConfig((tmp_path / "in",), in_place=True, backup=tmp_path / "kept", jobs=2)


def run(config: ProtectConfig) -> dict[str, PhotoOutcome]:
    outcomes = protect(config, FullSwing(level=8)).outcomes
    return {one.source.relative_to(config.sources[0]).as_posix(): one for one in outcomes}


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".ulecli")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_photos_are_replaced_and_kept(config):
    source, kept = config.sources[0], config.backup
    before = contents(source)
    outcomes = run(config)
    assert {one.status for one in outcomes.values()} == {Status.WRITTEN}
    assert contents(kept) == before and set(contents(source)) == set(before)
    for name in before:
        with Image.open(source / name) as made, Image.open(kept / name) as photo:
            assert np.abs(np.asarray(made).astype(int) - np.asarray(photo)).max() == 8
        stat = (source / name).stat()
        assert stat.st_mtime == 1e9 and stat.st_mode & 0o777 == 0o640
    after = contents(source)
    assert {one.status for one in run(config).values()} == {Status.UNCHANGED}
    assert contents(source) == after and contents(kept) == before


def test_no_backup(config):
    config = replace(config, backup=None)
    assert {one.status for one in run(config).values()} == {Status.WRITTEN}
    assert not (config.sources[0].parent / "kept").exists()


def test_nothing_is_protected_twice_in_place(config):
    run(config)
    after = contents(config.sources[0])
    for again in (replace(config, epsilon=4), replace(config, force=True)):
        statuses = {one.status for one in run(again).values()}
        assert statuses <= {Status.SKIPPED, Status.UNCHANGED}
    (config.sources[0] / ".ulecli.sqlite").unlink()  # then only the mark shows it
    assert {one.status for one in run(config).values()} == {Status.SKIPPED}
    assert contents(config.sources[0]) == after


def test_an_edited_photo_is_done_again_and_its_backup_has_a_number(config):
    first = contents(config.sources[0])
    run(config)
    scene(24, 16, 9).save(config.sources[0] / "a.png")
    edited = (config.sources[0] / "a.png").read_bytes()
    outcomes = run(config)
    assert outcomes["a.png"].status is Status.WRITTEN and "a-2.png" in outcomes["a.png"].reason
    assert outcomes["sub/b.png"].status is Status.UNCHANGED
    assert contents(config.backup) == {**first, "a-2.png": edited}


def test_a_photo_that_was_put_back_is_done_again(config):
    first = contents(config.sources[0])
    run(config)
    after = contents(config.sources[0])
    path = config.sources[0] / "a.png"
    path.write_bytes(first["a.png"])
    os.utime(path, (1e9, 1e9))
    assert run(config)["a.png"].status is Status.WRITTEN
    assert contents(config.sources[0]) == after and contents(config.backup) == first


def test_an_identity_keeps_its_direction_in_place(config):
    config = replace(config, identity_from_folder=True)
    first = {one.identity: one.direction for one in run(config).values()}
    scene(24, 16, 5).save(config.sources[0] / "new.png")
    outcomes = run(config)
    assert outcomes["new.png"].status is Status.WRITTEN
    assert {one.identity: one.direction for one in outcomes.values()} == first and len(first) == 2
    with opened(config.sources[0] / NAME) as ledger:
        assert {name_of(direction) for direction in ledger.directions()} == set(first.values())


def test_where_the_ledger_is_lost_the_direction_is_found_from_what_is_new(config):
    """Also where so many photos are protected already that a few, spread over all, are all of them."""
    for seed in range(3, 12):
        scene(24, 16, seed).save(config.sources[0] / f"{seed}.png")
    run(config)
    (config.sources[0] / NAME).unlink()
    scene(24, 16, 20).save(config.sources[0] / "new.png")
    perturber = FullSwing(level=8)
    written = [one for one in protect(config, perturber).outcomes if one.status is Status.WRITTEN]
    assert [one.source.name for one in written] == ["new.png"]
    assert [count for count, _ in perturber.asked] == [1]
    with opened(config.sources[0] / NAME) as ledger:
        assert [name_of(direction) for direction in ledger.directions()] == [written[0].direction]


def test_a_photo_that_fails_stays(config):
    path = config.sources[0] / "a.png"
    path.write_bytes(path.read_bytes()[:200])
    before = contents(config.sources[0])
    assert run(config)["a.png"].status is Status.FAILED
    assert contents(config.sources[0])["a.png"] == before["a.png"]


def test_without_its_backup_no_photo_is_replaced(config):
    before = contents(config.sources[0])
    config.backup.mkdir()
    (config.backup / "sub").touch()  # a file where a folder must be
    outcomes = run(config)
    assert outcomes["sub/b.png"].status is Status.FAILED and outcomes["a.png"].status is Status.WRITTEN
    assert contents(config.sources[0])["sub/b.png"] == before["sub/b.png"]


def test_links_are_left_alone(config, tmp_path):
    scene(8, 8).save(tmp_path / "away.png")
    before = (tmp_path / "away.png").read_bytes()
    link = config.sources[0] / "link.png"
    link.symlink_to(tmp_path / "away.png")
    outcome = run(config)["link.png"]
    assert outcome.status is Status.SKIPPED and "link" in outcome.reason
    assert link.is_symlink() and (tmp_path / "away.png").read_bytes() == before


def test_a_wrong_name_stays(tmp_path):
    (tmp_path / "in").mkdir()
    scene(8, 8).save(tmp_path / "in" / "x.jpg", "PNG")
    config = ProtectConfig((tmp_path / "in",), in_place=True)
    outcome = run(config)["x.jpg"]
    assert outcome.status is Status.WRITTEN and "PNG" in outcome.reason
    with Image.open(tmp_path / "in" / "x.jpg") as made:
        assert made.format == "PNG"


@pytest.mark.parametrize("across", [False, True])
def test_keep(tmp_path, monkeypatch, across):
    if across:

        def refuse(*paths):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
    original = tmp_path / "x.png"
    original.write_bytes(b"one")
    os.utime(original, (5, 5))
    sha256 = hashlib.sha256(b"one").digest()
    place = tmp_path / "deep" / "x.png"
    assert backup.keep(original, place, sha256) == place
    assert place.read_bytes() == b"one" and place.stat().st_mtime == 5
    assert backup.keep(original, place, sha256) == place  # kept already
    original.unlink()
    original.write_bytes(b"two")
    second = backup.keep(original, place, hashlib.sha256(b"two").digest())
    assert second.name == "x-2.png" and second.read_bytes() == b"two" and place.read_bytes() == b"one"
    assert sorted(path.name for path in place.parent.iterdir()) == ["x-2.png", "x.png"]
