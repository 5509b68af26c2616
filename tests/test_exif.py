from __future__ import annotations

import contextlib

import pytest
from conftest import scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ulecli import exif


def block(orientation: int = 6, thumbnail: bytes = b"", endian: str = "<") -> bytes:
    tags = Image.Exif()
    tags.endian = endian
    tags[0x0112] = orientation
    tags[0x010F] = "Maker"
    tags[0x0132] = "2020:02:02 02:02:02"
    plain = bytearray(tags.tobytes())
    if thumbnail:
        order = {"<": "little", ">": "big"}[endian]
        base, at = len(exif.PREFIX), len(plain) - len(exif.PREFIX)
        count = int.from_bytes(plain[base + 8 : base + 10], order)
        link = base + 10 + 12 * count
        plain[link : link + 4] = at.to_bytes(4, order)
        entry = [(0x0201, at + 2 + 24 + 4), (0x0202, len(thumbnail))]
        plain += (2).to_bytes(2, order)
        for tag, value in entry:
            plain += tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order)
            plain += value.to_bytes(4, order)
        plain += bytes(4) + thumbnail
    return bytes(plain)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_and_reset(orientation, endian):
    before = block(orientation, endian=endian)
    assert exif.orientation(before) == exif.orientation(before.removeprefix(exif.PREFIX)) == orientation
    after = exif.upright(before)
    assert exif.orientation(after) == 1 and len(after) == len(before)
    tags = Image.Exif()
    tags.load(after)
    assert tags[0x0112] == 1 and tags[0x010F] == "Maker" and tags[0x0132].startswith("2020")


@pytest.mark.parametrize("endian", "<>")
def test_the_thumbnail_goes(endian):
    picture = b"\xff\xd8 what the photo shows \xff\xd9"
    before = block(thumbnail=picture, endian=endian)
    after = exif.upright(before)
    assert picture in before and picture not in after
    tags = Image.Exif()
    tags.load(after)
    assert tags[0x010F] == "Maker"


def test_the_thumbnail_of_a_camera_goes_and_its_notes_stay(shared):
    with Image.open(shared / "photos" / "Nikon D3100.jpg") as photo:
        block = photo.info["exif"]
    before, after = Image.Exif(), Image.Exif()
    before.load(block)
    after.load(exif.upright(block))
    start = b"\xff\xd8\xff"
    # One picture less; the other one is a preview within the makers' notes.
    assert (block.count(start), exif.upright(block).count(start)) == (2, 1)
    assert before.get_ifd(0x8769) == after.get_ifd(0x8769)  # the makers' notes among them


@given(st.binary(max_size=200))
def test_noise_is_refused_or_patched(noise):
    for candidate in (noise, b"II*\0\x08\0\0\0" + noise):
        assert 1 <= exif.orientation(candidate) <= 8
        with contextlib.suppress(exif.BadExif):
            exif.upright(candidate)


@given(st.data())
def test_a_block_cut_short_is_refused_or_patched(data):
    whole = block(thumbnail=b"x" * 30)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    assert 1 <= exif.orientation(cut) <= 8
    with contextlib.suppress(exif.BadExif):
        exif.upright(cut)


def test_pillow_writes_what_was_patched(tmp_path):
    scene().save(tmp_path / "x.jpg", exif=exif.upright(block(3)))
    with Image.open(tmp_path / "x.jpg") as stored:
        assert stored.getexif()[0x0112] == 1
