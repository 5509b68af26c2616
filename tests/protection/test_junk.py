from __future__ import annotations

from pathlib import Path

import pytest
from conftest import FullSwing, scene

from ulecli.errors import NothingToDo
from ulecli.protection.config import ProtectConfig, Selection
from ulecli.protection.find import find
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")

JUNK = [
    *("#recycle/album/a.jpg", "$RECYCLE.BIN/$R1.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg"),
    *(
        "@Recycle/a.jpg",
        "x/@eadir/a.jpg",
        "#snapshot/a.jpg",
        "@Recently-Snapshot/a.jpg",
        "@tmp/a.jpg",
        "lost+found/a.jpg",
    ),
    *("System Volume Information/a.jpg", "__MACOSX/a.jpg", "a.jpg_original", "b.png~", "@__thumb/a.jpg"),
    *("Mine.photoslibrary/resources/derivatives/a.jpg", "Catalog Previews.lrdata/a.jpg"),
]
KEPT = [
    *("a.jpg", "recycle/a.jpg", "photo_original.jpg", "2024.05_original/a.jpg", "eaDir/a.jpg", "tmp/a.jpg"),
    *("Mine.photoslibrary/originals/0/a.jpg", "resources/a.jpg", "thumbnails/a.jpg", "my #recycle bin/a.jpg"),
]


def tree(root: Path, *names: str) -> set[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        scene(8, 8).save(root / name, "JPEG")
    return {root / name for name in names}


def test_junk_is_left_out_and_named_once(tmp_path):
    tree(tmp_path / "lib", *JUNK)
    kept = tree(tmp_path / "lib", *KEPT)
    found = find([tmp_path / "lib"])
    assert {photo.path for photo in found.photos} == kept and found.others == ()
    assert len(found.junk) == len(JUNK)
    every = frozenset((tmp_path / "lib").rglob("*"))
    assert find([tmp_path / "lib"], only=every).photos == found.photos
    listed = sorted(path for path in every if path.is_file())
    assert {photo.path for photo in find([], listed).photos} == kept


@pytest.mark.parametrize("name", ["#recycle", "@eaDir", "$RECYCLE.BIN", "lost+found"])
def test_what_is_named_is_taken(tmp_path, name):
    wanted = tree(tmp_path / "lib", f"{name}/a.jpg", f"{name}/b/c.jpg")
    (beside,) = tree(tmp_path / "lib", "d.jpg")
    assert {photo.path for photo in find([tmp_path / "lib" / name]).photos} == wanted
    both = find([tmp_path / "lib", tmp_path / "lib" / name]).photos
    assert {photo.path for photo in both} == {beside, *wanted}
    selection = Selection(include=(f"{name}/*",))
    assert {photo.path for photo in find([tmp_path / "lib"], selection=selection).photos} == wanted
    for wildcards in ("*", "*.jpg", "*/*", "?*"):
        photos = find([tmp_path / "lib"], selection=Selection(include=(wildcards, "d.jpg"))).photos
        assert {photo.path for photo in photos} == {beside}


def test_backups_of_exiftool_can_be_asked_for(tmp_path):
    tree(tmp_path, "a.jpg", "a.jpg_original")
    photos = find([tmp_path], selection=Selection(include=("*_original",))).photos
    assert [photo.path.name for photo in photos] == ["a.jpg_original"]
    assert find([tmp_path / "a.jpg_original"]).photos


def test_a_run_says_so_in_one_line(tmp_path):
    tree(tmp_path / "lib", "a.jpg", *JUNK)
    for dry_run in (True, False):
        config = ProtectConfig((tmp_path / "lib",), tmp_path / "out", dry_run=dry_run)
        (note,) = [note for note in protect(config, FullSwing()).notes if "left out" in note]
        assert f"{len(JUNK)} in all" in note and "#recycle" in note and "--include" in note
    assert [path.name for path in (tmp_path / "out").rglob("*.jpg*")] == ["a.jpg"]
    (tmp_path / "lib" / "a.jpg").unlink()
    with pytest.raises(NothingToDo, match="#recycle"):
        protect(ProtectConfig((tmp_path / "lib",), tmp_path / "out"), FullSwing())


def test_patterns_that_fit_nothing_are_named(tmp_path):
    tree(tmp_path / "lib", "a.jpg", "scans/b.jpg", "c.png")
    selection = Selection(include=("*.jpg", "*.tif"), exclude=("scnas", "scans", "C.PNG", "lib/scans"))
    report = protect(ProtectConfig((tmp_path / "lib",), tmp_path / "out", selection=selection), FullSwing())
    named = [note.partition(" fits nothing")[0] for note in report.notes if "fits nothing" in note]
    assert named == ["--include '*.tif'", "--exclude 'scnas'", "--exclude 'lib/scans'"]
