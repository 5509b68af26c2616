from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import scene
from formats.table import decoded, stored
from PIL import Image

from ulecli.errors import PhotoError
from ulecli.formats import bmff
from ulecli.formats.avif import AVIF


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_the_subsampling_is_kept(tmp_path, sampling):
    content = stored("AVIF", subsampling=sampling)
    assert decoded(tmp_path, content, "AVIF").settings["subsampling"] == sampling


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pixels_are_those_of_the_library(tmp_path, mode):
    image = scene().convert(mode)
    if mode == "RGBA":
        image.putalpha(scene(seed=3).convert("L"))
    picture = decoded(tmp_path, stored("AVIF", image), "AVIF")
    with Image.open(tmp_path / "in") as opened:
        assert np.array_equal(np.asarray(picture.image), np.asarray(opened))
    assert picture.image.mode == mode and picture.remarks == ()


def test_a_header_that_claims_too_much_is_refused_before_the_library_sees_it(tmp_path, monkeypatch):
    content = stored("AVIF")
    place = content.index(b"ispe") + 8
    large = content[:place] + (20_000).to_bytes(4, "big") * 2 + content[place + 8 :]
    monkeypatch.setattr("ulecli.formats.avif.AvifImageFile", None)
    with pytest.raises(PhotoError, match=r"20000 x 20000 pixels; the limit is 300 megapixels"):
        decoded(tmp_path, large, "AVIF")


def test_depth_is_that_of_the_picture():
    content = stored("AVIF")
    meta = bmff.read_meta(content)
    place = content.index(meta.coded_properties()[b"av1C"])
    for flag, bits in ((0, 8), (0x40, 10), (0x60, 12)):  # libavif reads none whose pixels say otherwise
        flags = content[place + 2] & ~0x60 | flag
        deep = content[: place + 2] + bytes([flags]) + content[place + 3 :]
        assert AVIF.open(io.BytesIO(deep), deep).bits == bits
