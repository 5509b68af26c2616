from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FullSwing, scene

from ulecli.errors import NothingToDo, UsageError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.ledger import NAME, opened
from ulecli.protection.outcome import OrphanedCopy, ProtectReport
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")


@pytest.fixture
def config(tmp_path) -> ProtectConfig:
    for seed, name in enumerate(("in/a.png", "in/b.png", "in/sub/c.png", "other/d.png", "other/e.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        scene(16, 16, seed).save(tmp_path / name)
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out")
    run(config)
    run(replace(config, sources=(tmp_path / "other",)))
    return config


def run(config: ProtectConfig) -> ProtectReport:
    return protect(config, FullSwing())


def copies(config: ProtectConfig) -> set[str]:
    return {path.relative_to(config.output).as_posix() for path in config.output.rglob("*.png")}


def lost(report: ProtectReport) -> dict[str, OrphanedCopy]:
    return {one.source.name: one for one in report.orphans}


def test_copies_of_deleted_photos_are_named_and_stay(config):
    before = copies(config)
    (config.sources[0] / "a.png").unlink()
    shutil.rmtree(config.sources[0] / "sub")
    for dry_run in (False, True):
        report = run(replace(config, dry_run=dry_run))
        assert set(lost(report)) == {"a.png", "c.png"} and not any(one.removed for one in report.orphans)
    assert copies(config) == before


def test_prune_removes_them_and_nothing_else(config, tmp_path):
    (config.sources[0] / "a.png").unlink()
    (tmp_path / "other" / "d.png").unlink()
    (config.output / "mine.png").write_bytes(b"of somebody")
    dry = run(replace(config, prune=True, dry_run=True))
    assert lost(dry)["a.png"].removed and "a.png" in copies(config)
    report = run(replace(config, prune=True))
    assert [(one.target, one.removed) for one in report.orphans] == [(config.output / "a.png", True)]
    assert copies(config) == {"b.png", "sub/c.png", "d.png", "e.png", "mine.png"}  # d.png was not named
    assert run(config).orphans == ()
    with opened(config.output / NAME) as ledger:
        assert ledger.by_target(config.output / "a.png") is None


def test_what_somebody_has_changed_stays(config):
    for name in ("a.png", "b.png"):
        (config.sources[0] / name).unlink()
    (config.output / "a.png").write_bytes(b"retouched")
    (config.output / "b.png").unlink()
    (config.output / "b.png").symlink_to(config.sources[0] / "sub" / "c.png")
    report = run(replace(config, prune=True))
    assert {name: (one.removed, "changed" in one.reason) for name, one in lost(report).items()} == {
        "a.png": (False, True),
        "b.png": (False, True),
    }
    assert (config.output / "a.png").read_bytes() == b"retouched" and (config.output / "b.png").is_symlink()


def test_a_copy_that_is_gone_too_is_forgotten(config):
    (config.sources[0] / "a.png").unlink()
    (config.output / "a.png").unlink()
    assert run(config).orphans == () == run(replace(config, prune=True)).orphans
    with opened(config.output / NAME) as ledger:
        assert config.sources[0] / "a.png" not in dict(ledger.places())


def test_a_disk_that_is_unplugged_is_not_an_emptied_folder(config):
    before = copies(config)
    config.sources[0].rename(config.sources[0].with_name("away"))
    config.sources[0].mkdir()
    with pytest.raises(NothingToDo):
        run(replace(config, prune=True))
    (config.sources[0] / "bad.png").write_bytes(b"")
    assert run(replace(config, prune=True)).orphans == ()
    several = replace(config, sources=(config.sources[0], config.sources[0].with_name("other")), prune=True)
    assert run(several).orphans == () and before <= copies(config)


def test_a_photo_that_can_not_be_looked_at_is_not_deleted(config, monkeypatch):
    real = Path.lstat

    def failing(self: Path):
        if self.name == "a.png":
            raise OSError(5, "Input/output error")
        return real(self)

    (config.sources[0] / "a.png").rename(config.sources[0].parent / "a.png")
    monkeypatch.setattr(Path, "lstat", failing)
    assert run(replace(config, prune=True)).orphans == ()
    assert "a.png" in copies(config)


def test_photos_that_are_only_left_out_this_time_are_not_deleted(config):
    selection = replace(config.selection, exclude=("a.png", "sub"), recursive=False)
    assert run(replace(config, selection=selection, prune=True)).orphans == ()


def test_a_renamed_photo_leaves_its_old_copy(config):
    (config.sources[0] / "a.png").rename(config.sources[0] / "z.png")
    report = run(replace(config, prune=True))
    assert lost(report)["a.png"].removed and {"z.png", "b.png"} <= copies(config)
    assert "a.png" not in copies(config)


def test_in_place_there_is_nothing_to_prune(tmp_path):
    with pytest.raises(UsageError, match="--prune"):
        ProtectConfig((tmp_path,), in_place=True, prune=True)


def test_what_the_program_says(ulecli, config):
    for name in ("a.png", "b.png"):
        (config.sources[0] / name).unlink()
    arguments = ["protect", config.sources[0], "-o", config.output]
    assert "2 copies have no photo any more; --prune removes them" in ulecli(*arguments).err
    said = ulecli(*arguments, "--prune", "--dry-run").err
    assert f"would be removed, its photo is gone: {config.output / 'a.png'}" in said
    result = ulecli(*arguments, "--prune", "--json")
    assert "removed 2 copies whose photos are gone" in result.err
    orphans = json.loads(result.out.splitlines()[-1])["orphans"]
    assert [(one["target"], one["removed"]) for one in orphans] == [
        (str(config.output / "a.png"), True),
        (str(config.output / "b.png"), True),
    ]
    assert "any more" not in ulecli(*arguments).err
