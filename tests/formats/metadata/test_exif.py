from __future__ import annotations

import contextlib
import struct

import pytest
from conftest import scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ulecli.formats.metadata import exif


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


def test_the_thumbnail_and_the_preview_of_a_camera_go_and_its_notes_stay(shared):
    with Image.open(shared / "photos" / "Nikon D3100.jpg") as photo:
        block = photo.info["exif"]
    before, after = Image.Exif(), Image.Exif()
    before.load(block)
    after.load(exif.upright(block))
    start = b"\xff\xd8\xff"
    assert (block.count(start), exif.upright(block).count(start)) == (2, 0)
    reported, kept = dict(before.get_ifd(0x8769)), dict(after.get_ifd(0x8769))
    notes, kept_notes = reported.pop(0x927C), kept.pop(0x927C)
    assert reported == kept
    # The makers' notes are the same but for the preview in them, which became zeros.
    preview = notes.index(start)
    assert len(notes) == len(kept_notes) and notes[:preview] == kept_notes[:preview]
    assert not kept_notes[preview : notes.index(b"\xff\xd9", preview) + 2].strip(b"\0")


def rich(size: tuple[int, int] = (40, 30)) -> bytes:
    """A block with one tag of each kind that reveals more than date and camera."""
    tags = Image.Exif()
    for tag, value in {
        0x010F: "Maker",
        0x0110: "Camera 7",
        0x0112: 6,
        0x0131: "Firmware 1.0",
        0x0132: "2020:02:02 02:02:02",
        0x010E: "Ada at home",
        0x013B: "Ada",
        0x013C: "adas-laptop",
        0x8298: "(c) Ada",
        0x9C9D: "Ada".encode("utf-16-le"),
        0xC62F: "BODY-1234",
    }.items():
        tags[tag] = value
    tags.get_ifd(0x8769).update(
        {
            0x829A: 0.005,
            0x9003: "2020:02:02 02:02:02",
            0x9011: "+01:00",
            0x927C: b"notes",
            0x9286: b"ASCII\0\0\0hello",
            0xA002: size[0],
            0xA003: size[1],
            0xA420: "unique",
            0xA430: "Ada",
            0xA431: "SN-1",
            0xA435: "LENS-1",
            0xA434: "A Lens 50mm",
            0xFDE8: "unknown",
        }
    )
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0)})
    return tags.tobytes()


def test_private_lets_through_date_camera_and_exposure_alone():
    after = Image.Exif()
    after.load(exif.private(rich(), (30, 40)))
    assert set(after) == {0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x8769}
    assert after[0x0112] == 1 and after[0x0110] == "Camera 7"
    assert after.get_ifd(0x8769) == {
        0x829A: 0.005,
        0x9003: "2020:02:02 02:02:02",
        0x9011: "+01:00",
        0xA002: 30,
        0xA003: 40,
        0xA434: "A Lens 50mm",
    }


def test_withheld_names_what_private_removes():
    names = exif.withheld(rich())
    assert {"GPS", "MakerNote", "UserComment", "Artist", "Copyright", "ImageUniqueID", "orientation"} < set(
        names
    )
    assert {"BodySerialNumber", "LensSerialNumber", "CameraOwnerName", "tag 0xfde8"} < set(names)
    assert exif.withheld(exif.private(rich(), (30, 40))) == []


def test_keep_sets_the_size_of_the_upright_picture():
    after = Image.Exif()
    after.load(exif.upright(rich((40, 30)), (30, 40)))
    assert (after.get_ifd(0x8769)[0xA002], after.get_ifd(0x8769)[0xA003]) == (30, 40)
    assert after.get_ifd(0x8769)[0xA431] == "SN-1" and after[0x0112] == 1


@pytest.mark.parametrize("endian", "<>")
def test_a_thumbnail_in_strips_goes(endian):
    order = {"<": "little", ">": "big"}[endian]
    plain = bytearray(block(endian=endian))
    base, at = len(exif.PREFIX), len(plain) - len(exif.PREFIX)
    link = base + 10 + 12 * int.from_bytes(plain[base + 8 : base + 10], order)
    plain[link : link + 4] = at.to_bytes(4, order)
    pixels = bytes(range(1, 100))
    plain += (2).to_bytes(2, order)
    for tag, value in ((0x0111, at + 30), (0x0117, len(pixels))):
        plain += tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order)
        plain += value.to_bytes(4, order)
    plain += bytes(4) + pixels
    assert "thumbnail" in exif.withheld(bytes(plain))
    after = exif.upright(bytes(plain))
    assert pixels in bytes(plain) and pixels not in after and exif.withheld(after) == []


@given(st.binary(max_size=200))
def test_noise_is_refused_or_patched(noise):
    for candidate in (noise, b"II*\0\x08\0\0\0" + noise):
        assert 1 <= exif.orientation(candidate) <= 8
        for change in (exif.upright, lambda it: exif.private(it, (9, 9)), exif.withheld):
            with contextlib.suppress(exif.BadExif):
                change(candidate)


@given(st.data())
def test_a_block_cut_short_is_refused_or_patched(data):
    whole = block(thumbnail=b"x" * 30)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    assert 1 <= exif.orientation(cut) <= 8
    for change in (exif.upright, lambda it: exif.private(it, (9, 9)), exif.withheld):
        with contextlib.suppress(exif.BadExif):
            change(cut)


def test_pillow_writes_what_was_patched(tmp_path):
    scene().save(tmp_path / "x.jpg", exif=exif.upright(block(3)))
    with Image.open(tmp_path / "x.jpg") as stored:
        assert stored.getexif()[0x0112] == 1


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x0132, "at Ada's, in May"),
        (0x9003, "at Ada's, in May"),
        (0x9209, "Ada"),
        (0xA302, b"a pattern, and Ada's address: " * 9),
    ],
)
def test_no_text_hides_in_a_tag_of_numbers(tag, value):
    tags = Image.Exif()
    tags[0x0110] = "Camera"
    (tags if tag < 0x8000 else tags.get_ifd(0x8769))[tag] = value
    after = exif.private(tags.tobytes(), (9, 9))
    assert b"Ada" in tags.tobytes() and b"Ada" not in after and b"Camera" in after
    assert len(exif.withheld(tags.tobytes())) == 1 and exif.withheld(after) == []


def test_colour_time_zone_and_resolution_go_through():
    tags = Image.Exif()
    tags[0x011A], tags[0x0128] = 300.0, 2
    kept = {0x9010: "+01:00", 0x9290: "123", 0xA001: 0xFFFF, 0xA500: 2.2}
    tags.get_ifd(0x8769).update(kept)
    tags.get_ifd(0x8769)[0xA005] = {1: "R03", 2: b"0100"}
    after = Image.Exif()
    after.load(exif.private(tags.tobytes(), (9, 9)))
    directory = dict(after.get_ifd(0x8769))
    assert after[0x011A] == 300.0 and {tag: directory[tag] for tag in kept} == kept
    assert after.get_ifd(0xA005) == {1: "R03", 2: b"0100"}


def test_a_thumbnail_in_a_great_many_pieces_is_refused():
    count = 70_000
    first = struct.pack("<HL", 0, 14)
    second = struct.pack("<HHHLLHHLLL", 2, 0x0111, 4, count, 44, 0x0117, 4, count, 44, 0)
    block = b"II*\0\x08\0\0\0" + first + second + bytes(4 * count)
    with pytest.raises(exif.BadExif, match="pieces"):
        exif.upright(block)


def test_pieces_that_overlap_are_overwritten_once():
    pixels = bytes(range(1, 100))
    places = struct.pack("<LLLL", 76, 80, 76, 300)
    lengths = struct.pack("<LLLL", 99, 50, 99, 99)
    second = struct.pack("<HHHLLHHLLL", 2, 0x0111, 4, 4, 44, 0x0117, 4, 4, 60, 0)
    block = b"II*\0\x08\0\0\0" + struct.pack("<HL", 0, 14) + second + places + lengths + pixels
    after = exif.upright(block).removeprefix(exif.PREFIX)
    assert len(after) == len(block) and after[:10] == block[:10] and after[14:76] == block[14:76]
    assert not after[76:].strip(b"\0")


@pytest.mark.parametrize("kind", [129, 99])
def test_a_text_of_a_type_that_is_new_or_unknown_is_withheld(kind):
    name = b"Ada Example\0"
    head = b"II*\0" + struct.pack("<LH", 8, 1)
    block = head + struct.pack("<HHLLL", 0x013B, kind, len(name), 26, 0) + name
    assert exif.withheld(block) == ["Artist"]
    assert exif.private(block, (1, 1)) == b""


def test_a_text_in_a_tag_of_the_layout_is_withheld():
    name = b"Ada Example\0"
    block = b"II*\0" + struct.pack("<LH", 8, 1) + struct.pack("<HHLLL", 0x00FE, 2, len(name), 26, 0) + name
    assert len(exif.withheld(block)) == 1
