from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import scene
from formats.table import box, decoded, rewritten, stored
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import bmff
from ulecli.formats.audit import leaks
from ulecli.formats.picture import read_rgb

pillow_heif = pytest.importorskip("pillow_heif")


def test_it_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoSkipped, match=r"pip install '\.\[heif\]'"):
        decoded(tmp_path, b"\0\0\0\x18ftypheic", "HEIC")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pixels_are_those_of_the_library(tmp_path, mode):
    image = scene(128, 96).convert(mode)
    if mode == "RGBA":
        image.putalpha(scene(128, 96, seed=3).convert("L"))
    picture = decoded(tmp_path, stored("HEIC", image), "HEIC")
    with Image.open(tmp_path / "in") as opened:
        assert np.array_equal(np.asarray(picture.image), np.asarray(opened))
    assert picture.image.mode == mode and picture.remarks == ()
    rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []


def test_a_header_that_claims_too_much_is_refused_before_the_library_sees_it(tmp_path, monkeypatch):
    content = stored("HEIC")
    place = content.index(b"ispe") + 8
    large = content[:place] + (20_000).to_bytes(4, "big") * 2 + content[place + 8 :]
    monkeypatch.setattr(pillow_heif, "HeifImageFile", None)
    with pytest.raises(PhotoError, match=r"20000 x 20000 pixels; the limit is 300 megapixels"):
        decoded(tmp_path, large, "HEIC")


def test_a_thumbnail_is_a_leak_and_stays_behind(tmp_path):
    content = stored("HEIC", scene(640, 480), thumbnails=[96])
    picture = decoded(tmp_path, content, "HEIC")
    assert "thumbnail" in leaks(tmp_path / "in")
    rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []


def test_a_depth_map_beside_the_picture_is_reported(tmp_path):
    heif = pillow_heif.from_pillow(scene())
    heif.add_from_pillow(scene(seed=2))
    heif.save(tmp_path / "in", quality=90)
    content = (tmp_path / "in").read_bytes()
    with pytest.raises(PhotoSkipped, match="2 pictures"):
        decoded(tmp_path, content, "HEIC")
    assert "picture in the picture" in leaks(tmp_path / "in")


def test_a_film_behind_the_picture_is_reported(tmp_path):
    film = box(b"ftyp", b"mp42", bytes(4)) + box(b"mpvd", bytes(9))
    picture = decoded(tmp_path, stored("HEIC") + film, "HEIC")
    assert picture.remarks == ("its video was left out; it is a motion photo, as it seems",)
    assert {"box 'ftyp'", "box 'mpvd'"} <= set(leaks(tmp_path / "in"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_that_is_too_large_for_the_encoder_is_laid_in_tiles(tmp_path, mode, monkeypatch):
    monkeypatch.setattr("ulecli.formats.heic._MOST_ENCODED", 200 * 150)
    monkeypatch.setattr("ulecli.formats.heic._TILE", 128)
    image = scene(300, 200).convert(mode)
    if mode == "RGBA":
        image.putalpha(scene(300, 200, seed=3).convert("L"))
        with pytest.raises(PhotoSkipped, match="300 x 200 pixels with transparency"):
            decoded(tmp_path, stored("HEIC", image), "HEIC")
        return
    picture = decoded(tmp_path, stored("HEIC", image), "HEIC")
    meta = bmff.read_meta(rewritten(tmp_path, picture))
    assert meta.items[meta.primary].kind == b"grid" and meta.size() == (300, 200)
    again = read_rgb(tmp_path / "out", "HEIC")
    assert abs(np.asarray(again).astype(int) - np.asarray(picture.image)).mean() < 3
    assert leaks(tmp_path / "out") == []
