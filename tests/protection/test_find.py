from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conftest import scene

from ulecli.errors import NoSuchPath
from ulecli.protection.config import Selection
from ulecli.protection.find import find, is_earlier_output, sniff
from ulecli.protection.outcome import Status

HEADS = [
    (b"\xff\xd8\xff\xe0", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
    (b"RIFF\0\0\0\0WAVEfmt ", ""),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF89a", "GIF"),
    (b"BM\0\1\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "BMP"),
    (b"BM, and not a picture at all", ""),
    (b"\0\0\0\x18ftypheic", "HEIC"),
    (b"\0\0\0\x18ftypavif", "AVIF"),
    (b"\0\0\0\x18ftypmp42", ""),
    (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
    (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
    (b"\0\0\0\x14ftypmif1\0\0\0\0mif1avif", "HEIC"),  # the last is beyond the box
    (b"MM\0+\0\x08\0\0", "TIFF"),
    (b"II*\0\x10\0\0\0CR\2\0", "camera raw (CR2)"),
    (b"", ""),
    (b"just text here", ""),
]


@pytest.mark.parametrize(("head", "format"), HEADS)
def test_sniff(head, format):
    assert sniff(head.ljust(16, b"\1") if head else head) == format


def test_a_tree_is_found_whole_and_in_order(photo_folder):
    found = find([photo_folder])
    names = [str(photo.path.relative_to(photo_folder)) for photo in found.photos]
    assert names == sorted(names)
    assert set(names) == {"one.jpg", "a/IMG_1.png", "b/deep/IMG_1.png", "a/Zürich 東京.webp"}
    assert found.others == ()
    assert find([photo_folder]) == found


def test_a_photo_that_is_named_twice_is_found_once(photo_folder):
    assert len(find([photo_folder, photo_folder / "a", photo_folder / "one.jpg"]).photos) == 4


BAD = [
    ("empty.jpg", b"", Status.FAILED, "empty"),
    ("text.jpg", b"hello", Status.FAILED, "no photo"),
    ("x.gif", b"GIF89a", Status.SKIPPED, "GIF"),
    ("x.jxl", b"\xff\x0a", Status.SKIPPED, "JPEG XL"),
    ("x.jpg", b"\0\0\0\x0cjP  ", Status.SKIPPED, "JPEG 2000"),
    ("x.cr2", b"II*\0\x10\0\0\0CR\2\0", Status.SKIPPED, "raw"),
]


@pytest.mark.parametrize(("name", "content", "status", "word"), BAD)
def test_what_can_not_be_protected_is_told(tmp_path, name, content, status, word):
    (tmp_path / name).write_bytes(content)
    (outcome,) = find([tmp_path]).others
    assert outcome.status is status and word in outcome.reason
    (named,) = find([tmp_path / name]).others
    assert named.status is Status.FAILED and word in named.reason


def test_without_its_reader_heic_is_skipped_and_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    for source in (tmp_path, tmp_path / "x.heic"):
        (outcome,) = find([source]).others
        assert outcome.status is Status.SKIPPED and "pip install '.[heif]'" in outcome.reason


def test_a_named_file_that_is_no_picture_fails(photo_folder):
    (outcome,) = find([photo_folder / "notes.txt"]).others
    assert outcome.status is Status.FAILED and "no photo" in outcome.reason


def test_missing_path():
    with pytest.raises(NoSuchPath, match="nowhere"):
        find([Path("nowhere")])


def test_links(tmp_path):
    (tmp_path / "in").mkdir()
    scene().save(tmp_path / "real.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "real.png")
    (tmp_path / "in" / "dangling.jpg").symlink_to(tmp_path / "gone")
    found = find([tmp_path / "in"])
    assert [photo.path.name for photo in found.photos] == ["link.png"]
    assert {outcome.source.name: outcome.status for outcome in found.others} == {
        "dangling.jpg": Status.FAILED,
        "loop": Status.SKIPPED,
    }


def test_a_file_is_taken_once_however_many_links_lead_to_it(tmp_path):
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    scene().save(root / "real.png")
    (root / "a" / "first.png").symlink_to("../real.png")
    scene().save(tmp_path / "away.png")
    for name in ("b1.png", "b2.png"):
        (root / name).symlink_to("../away.png")
    (root / "self.png").symlink_to("self.png")
    (root / "a" / "up").symlink_to("..")
    found = find([root])
    assert [photo.path.name for photo in found.photos] == ["b1.png", "real.png"]
    reported = {outcome.source.name: outcome.reason for outcome in found.others}
    assert set(reported) == {"first.png", "b2.png", "self.png", "up"}
    assert "real.png" in reported["first.png"] and "b1.png" in reported["b2.png"] and "link" in reported["up"]


SELECTED = [
    (Selection(), {"one.jpg", "a/IMG_1.png", "b/deep/IMG_1.png", "a/Zürich 東京.webp"}),
    (Selection(recursive=False), {"one.jpg"}),
    (Selection(include=("*.png",)), {"a/IMG_1.png", "b/deep/IMG_1.png"}),
    (Selection(include=("*.PNG", "one*")), {"one.jpg", "a/IMG_1.png", "b/deep/IMG_1.png"}),
    (Selection(include=("a/*",)), {"a/IMG_1.png", "a/Zürich 東京.webp"}),
    (Selection(exclude=("deep",)), {"one.jpg", "a/IMG_1.png", "a/Zürich 東京.webp"}),
    (Selection(exclude=("b/deep/", "zu\N{COMBINING DIAERESIS}rich*")), {"one.jpg", "a/IMG_1.png"}),
    (Selection(include=("*.png",), exclude=("img_[2-9]*", "b")), {"a/IMG_1.png"}),
]


@pytest.mark.parametrize(("selection", "names"), SELECTED)
def test_selection(photo_folder, selection, names):
    photos = find([photo_folder], selection=selection).photos
    assert {photo.path.relative_to(photo_folder).as_posix() for photo in photos} == names
    every = frozenset(photo_folder.rglob("*"))
    only = find([photo_folder], selection=selection, only=every)
    assert only.photos == photos


def test_only_what_is_asked_for_is_looked_at(photo_folder):
    only = {photo_folder / "one.jpg", photo_folder / "notes.txt", photo_folder / ".hidden" / "x.png"}
    assert [photo.path.name for photo in find([photo_folder], only=only).photos] == ["one.jpg"]


def test_a_list(photo_folder, monkeypatch):
    monkeypatch.chdir(photo_folder)
    absolute = photo_folder / "b" / "deep" / "IMG_1.png"
    listed = [Path("a/../one.jpg"), Path("notes.txt"), Path("gone.png"), Path("._one.jpg"), absolute]
    listed += [Path("one.jpg"), Path("../photos/a/IMG_1.png")]
    found = find([], listed)
    within = {str(photo.within) for photo in found.photos}
    assert within == {"one.jpg", str(absolute).lstrip("/"), str(photo_folder / "a" / "IMG_1.png").lstrip("/")}
    assert {outcome.source.name: outcome.status for outcome in found.others} == {
        "notes.txt": Status.SKIPPED,
        "gone.png": Status.FAILED,
    }


def test_a_list_with_the_line_ends_of_windows(photo_folder, monkeypatch):
    monkeypatch.chdir(photo_folder)
    (photo_folder / "own\r").write_bytes((photo_folder / "one.jpg").read_bytes())
    found = find([], [Path("one.jpg\r"), Path("own\r"), Path("gone.jpg\r"), Path("a\r"), Path("a")])
    assert [str(photo.path) for photo in found.photos] == ["one.jpg", "own\r"]
    assert {str(it.source): it.reason.partition(",")[0] for it in found.others} == {
        "a": "is a folder",
        "gone.jpg": "does not exist",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (outcome,) = find([tmp_path]).others
    assert "regular" in outcome.reason


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_no_permission(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "x.jpg").chmod(0)
    (outcome,) = find([tmp_path]).others
    assert outcome.status is Status.FAILED and "read" in outcome.reason


def test_the_output_of_an_earlier_run_is_left_out(tmp_path):
    for name in ("trip/a.png", "trip-protected/a.png", "b.png", "b-protected.png", "lone-protected.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        scene().save(tmp_path / name)
    found = find([tmp_path])
    assert {photo.path.name for photo in found.photos} == {"a.png", "b.png", "lone-protected.png"}
    assert {outcome.source.name for outcome in found.others} == {"trip-protected", "b-protected.png"}
    assert {outcome.status for outcome in found.others} == {Status.SKIPPED}
    assert is_earlier_output(tmp_path / "trip-protected")
