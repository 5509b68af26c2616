"""Runs that follow runs: what is done stays, what changed is done again, and nothing is ever lost."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FullSwing, scene
from PIL import Image

from ulecli.formats.options import Reading
from ulecli.imaging.strength import Strength
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")
NAMES = ("a.png", "b.png", "sub/c.jpg")


@pytest.fixture
def library(tmp_path) -> Path:
    for seed, name in enumerate(NAMES):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(24, 16, seed).save(path)
        os.utime(path, (1e9 + seed, 1e9 + seed))
    return tmp_path / "in"


@pytest.fixture
def config(library) -> ProtectConfig:
    return ProtectConfig((library,), library.with_name("out"))


def run(config: ProtectConfig, perturber: FullSwing | None = None) -> dict[str, PhotoOutcome]:
    report = protect(config, perturber or FullSwing())
    return {one.source.relative_to(config.sources[0]).as_posix(): one for one in report.outcomes}


def statuses(outcomes: dict[str, PhotoOutcome]) -> dict[str, Status]:
    return {name: outcome.status for name, outcome in outcomes.items()}


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".ulecli")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


ALL_UNCHANGED = dict.fromkeys(NAMES, Status.UNCHANGED)
ALL_WRITTEN = dict.fromkeys(NAMES, Status.WRITTEN)


def test_what_is_done_is_not_done_again(config):
    first = run(config)
    before = contents(config.output)
    perturber = FullSwing()
    second = run(config, perturber)
    assert statuses(first) == ALL_WRITTEN and statuses(second) == ALL_UNCHANGED
    assert perturber.seen == [] and contents(config.output) == before
    for name in NAMES:
        reported = replace(second[name], status=Status.WRITTEN, seconds=first[name].seconds)
        assert reported == first[name]


def test_a_dry_run_tells_what_is_done_and_changes_nothing(config, library):
    run(replace(config, sources=(library / "sub",)))
    before = contents(library.parent)
    outcomes = run(replace(config, dry_run=True))
    assert statuses(outcomes) == dict.fromkeys(NAMES, Status.PLANNED)
    run(config)
    assert statuses(run(replace(config, dry_run=True))) == ALL_UNCHANGED
    assert all(contents(library.parent)[name] == content for name, content in before.items())


def change_source(library: Path, out: Path) -> None:
    scene(24, 16, 99).save(library / "a.png")


def remove_target(library: Path, out: Path) -> None:
    (out / "a.png").unlink()


def cut_target(library: Path, out: Path) -> None:
    (out / "a.png").write_bytes((out / "a.png").read_bytes()[:100])


def same_size_and_time(library: Path, out: Path) -> None:
    """The target is replaced so that only the time of change shows it."""
    path = out / "a.png"
    stat = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [change_source, remove_target, cut_target, same_size_and_time])
def test_what_changed_is_done_again(config, library, change):
    run(config)
    change(library, config.output)
    assert statuses(run(config)) == {**ALL_UNCHANGED, "a.png": Status.WRITTEN}
    with Image.open(config.output / "a.png") as made, Image.open(library / "a.png") as photo:
        assert made.size == photo.size and made.load() is not None
    assert statuses(run(config)) == ALL_UNCHANGED


def test_a_result_that_somebody_has_changed_is_kept(config):
    run(config)
    (config.output / "a.png").write_bytes(b"hours of retouching")
    outcome = run(config)["a.png"]
    assert outcome.status is Status.WRITTEN and "a-2.png" in outcome.reason
    assert (config.output / "a-2.png").read_bytes() == b"hours of retouching"
    (config.output / "a.png").write_bytes(b"hours more")
    assert run(replace(config, overwrite=True))["a.png"].reason == ""
    assert b"hours more" not in contents(config.output).values()


def touch_sources(library: Path, out: Path) -> None:
    for name in NAMES:
        (library / name).touch()


def touch_targets(library: Path, out: Path) -> None:
    for name in NAMES:
        (out / name).touch()


def copy_output(library: Path, out: Path) -> None:
    shutil.copytree(out, out.with_name("copy"))
    shutil.rmtree(out)
    out.with_name("copy").rename(out)


def move_library(library: Path, out: Path) -> None:
    library.rename(library.with_name("elsewhere"))
    shutil.copytree(library.with_name("elsewhere"), library)
    shutil.rmtree(library.with_name("elsewhere"))


@pytest.mark.parametrize("touch", [touch_sources, touch_targets, copy_output, move_library])
def test_what_was_only_touched_is_not_done_again(config, library, touch):
    run(config)
    touch(library, config.output)
    assert statuses(run(config)) == ALL_UNCHANGED


def test_a_library_that_moved_is_known_by_its_content(config, library):
    run(config)
    moved = library.rename(library.with_name("moved"))
    assert statuses(run(replace(config, sources=(moved,)))) == ALL_UNCHANGED


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 4},
        {"strength": Strength.SUBTLE},
        {"identity": "another name with another direction"},
        {"force": True},
        {"reading": Reading(first_frame=True)},
    ],
)
def test_other_settings_and_force_make_all_anew(config, settings):
    run(config)
    assert statuses(run(replace(config, **settings))) == ALL_WRITTEN


def test_another_surrogate_makes_all_anew(config):
    run(config)
    other = FullSwing()
    other.sha256 = "01234567" * 7 + "76543210"
    assert statuses(run(config, other)) == ALL_WRITTEN


def test_a_file_in_the_way_is_only_replaced_if_asked(config):
    config.output.mkdir()
    (config.output / "a.png").write_bytes(b"precious")
    (config.output / "b.png").mkdir()
    outcomes = run(config)
    failed = {name: outcome.reason for name, outcome in outcomes.items() if outcome.status is Status.FAILED}
    assert set(failed) == {"a.png", "b.png"}
    assert "--overwrite" in failed["a.png"] and "folder" in failed["b.png"]
    assert (config.output / "a.png").read_bytes() == b"precious"
    overwritten = run(replace(config, overwrite=True))
    assert overwritten["a.png"].status is Status.WRITTEN and overwritten["b.png"].status is Status.FAILED


def test_sources_of_several_runs_never_take_each_others_place(config, library):
    other = library.with_name("other")
    other.mkdir()
    scene(24, 16, 50).save(other / "a.png")
    run(config)
    before = contents(config.output)
    for expected in (Status.WRITTEN, Status.UNCHANGED):
        outcome = run(replace(config, sources=(other,)))["a.png"]
        assert outcome.status is expected and outcome.target == config.output / "a-2.png"
    assert {name: contents(config.output)[name] for name in before} == before
    assert statuses(run(config)) == ALL_UNCHANGED


def test_a_photo_keeps_the_place_it_got(tmp_path):
    (tmp_path / "in").mkdir()
    scene(8, 8, 1).save(tmp_path / "in" / "x.jpg", "PNG")
    scene(8, 8, 2).save(tmp_path / "in" / "x.png")
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out")
    assert {name: one.target.name for name, one in run(config).items()} == {
        "x.jpg": "x-2.png",
        "x.png": "x.png",
    }
    (tmp_path / "in" / "x.png").unlink()
    (outcome,) = run(config).values()
    assert outcome.status is Status.UNCHANGED and outcome.target.name == "x-2.png"


def test_nothing_is_protected_twice(config, tmp_path):
    run(config)
    away = tmp_path / "away"
    shutil.copytree(config.output, away / "photos")
    (away / "photos" / ".ulecli.sqlite").unlink()
    for source in (config.output, away):
        report = protect(ProtectConfig((source,), tmp_path / "again", force=True), FullSwing())
        assert {one.status for one in report.outcomes} == {Status.SKIPPED}
        assert all("twice" in one.reason for one in report.outcomes)
    assert contents(tmp_path / "again") == {}


def test_formats_without_room_for_a_mark_are_known_by_the_ledger(tmp_path):
    (tmp_path / "in").mkdir()
    scene(8, 8).save(tmp_path / "in" / "x.bmp")
    protect(ProtectConfig((tmp_path / "in",), tmp_path / "out"), FullSwing())
    (outcome,) = protect(ProtectConfig((tmp_path / "out",), tmp_path / "again"), FullSwing()).outcomes
    assert outcome.status is Status.SKIPPED and "earlier run" in outcome.reason


def test_an_identity_keeps_its_direction_whoever_comes_later(tmp_path):
    def directions(*names: str) -> dict[str, str]:
        root = tmp_path / "_".join(names)
        for seed, name in enumerate(names):
            (root / name).mkdir(parents=True)
            scene(8, 8, seed).save(root / name / f"{len(names)}.png")
        config = ProtectConfig((root,), tmp_path / "out", identity_from_folder=True)
        return {one.identity: one.direction for one in protect(config, FullSwing()).outcomes}

    first = directions("ada")
    more = directions("ada", "bob", "cy", "dot")
    last = directions("bob", "eve")
    assert more["ada"] == first["ada"] and last["bob"] == more["bob"]
    assert len({*more.values(), last["eve"]}) == 5


def test_an_identity_keeps_its_direction_however_many_photos_come(config, library):
    """Found from one photo, it would be another one if it were found anew from two."""
    photos = {name: (library / name).read_bytes() for name in NAMES}
    for name in NAMES[1:]:
        (library / name).unlink()
    first = run(config)["a.png"]
    for name in NAMES[1:]:
        (library / name).write_bytes(photos[name])
    perturber = FullSwing()
    again = run(config, perturber)
    assert statuses(again) == {**ALL_WRITTEN, "a.png": Status.UNCHANGED} and perturber.asked == []
    assert {one.direction for one in again.values()} == {first.direction}
    fresh = run(replace(config, output=library.with_name("fresh")))
    assert {one.direction for one in fresh.values()} != {first.direction}


def test_outputs_of_one_run_keep_their_directions_when_they_are_protected_alone(library):
    folders = [library.with_name(name) for name in "xyz"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        for number in range(1 + (seed == 1)):
            scene(24, 16, 10 * seed + number).save(folder / f"{number}.png")
    x, y, _ = folders

    def directions(*sources: Path, status: Status) -> dict[Path, set[str]]:
        found: dict[Path, set[str]] = {source: set() for source in sources}
        for one in protect(ProtectConfig(sources), FullSwing()).outcomes:
            assert one.status is status or one.source.parent.name == "z"
            found[one.source.parent].add(one.direction)
        return found

    alone = directions(x, status=Status.WRITTEN) | directions(y, status=Status.WRITTEN)
    assert alone[x] != alone[y]  # found from one photo and from two
    together = directions(*folders, status=Status.UNCHANGED)
    assert {x: together[x], y: together[y]} == alone
    for source in folders:  # the third has taken over what it was moved along beside the others
        assert directions(source, status=Status.UNCHANGED) == {source: together[source]}


def test_permissions_and_times_are_those_of_the_photo(config, library):
    (library / "a.png").chmod(0o640)
    (library / "b.png").chmod(0o444)
    run(config)
    for name in NAMES:
        made, photo = (config.output / name).stat(), (library / name).stat()
        assert made.st_mode == photo.st_mode and made.st_mtime_ns == photo.st_mtime_ns


def test_the_ledger_lies_where_it_is_told_to(config, tmp_path):
    config = replace(config, ledger=tmp_path / "elsewhere" / "ledger")
    assert statuses(run(config)) == ALL_WRITTEN and statuses(run(config)) == ALL_UNCHANGED
    assert not (config.output / ".ulecli.sqlite").exists()
    assert (tmp_path / "elsewhere" / "ledger").stat().st_mode & 0o777 == 0o600


def test_siblings_have_a_ledger_each(library):
    config = ProtectConfig((library / "sub", library / "a.png"))
    for expected in (Status.WRITTEN, Status.UNCHANGED):
        assert {one.status for one in protect(config, FullSwing()).outcomes} == {expected}
    assert (library / "sub-protected" / ".ulecli.sqlite").exists()
    assert (library / ".ulecli.sqlite").exists()
