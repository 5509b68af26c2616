from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from conftest import scene
from formats.table import decoded, exif_block, rewritten, segment, stored
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

from ulecli.errors import PhotoError
from ulecli.formats import jpeg
from ulecli.formats.audit import is_protected, leaks
from ulecli.formats.format import Unfollowable
from ulecli.formats.metadata.xmp import Mark, packet

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EOI = b"\xff\xd9"
EXIF = segment(0xE1, b"Exif\0\0" + exif_block())
XMP = segment(0xE1, jpeg.XMP + packet(Mark("1", 8)))
TRAILER = bytes(range(200)) * 40 + b"SEFHj\0\0\0SEFT"


def second_scan(content: bytes) -> int:
    """Return where what follows the first scan of a JPEG begins."""
    return next(one.end for one in jpeg.segments(content) if one.marker == 0xDA)


def as_pillow_shows(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize(
    "before",
    [b"\xff", b"\xff" * 9, b"\xff\x01", b"\xff\xd0\xff\xd7", b"stray", b"\xff\0", segment(0xFE), b"\0" * 3],
    ids=["fill", "nine fill", "TEM", "RST", "stray", "stuffed", "empty comment", "zeros"],
)
def test_nothing_legal_between_segments_hides_what_follows(tmp_path, before):
    content = stored("JPEG")
    first = next(jpeg.segments(content)).end
    hidden = before + EXIF + before
    (tmp_path / "x").write_bytes(content[:first] + hidden + XMP + content[first:])
    assert {"EXIF Artist", "EXIF GPS"} <= set(leaks(tmp_path / "x"))
    assert is_protected(tmp_path / "x")
    picture = decoded(tmp_path, content[:first] + hidden + content[first:], "JPEG")
    assert b"Ada" in picture.exif and np.array_equal(np.asarray(picture.image), as_pillow_shows(content))


@pytest.mark.parametrize("progressive", [False, True])
def test_metadata_behind_a_scan_are_found_and_left_out(tmp_path, progressive):
    content = stored("JPEG", progressive=progressive)
    place = second_scan(content)
    content = content[:place] + EXIF + segment(0xFE, b"by Ada") + content[place:]
    picture = decoded(tmp_path, content, "JPEG")
    assert {"EXIF Artist", "EXIF GPS", "comment"} <= set(leaks(tmp_path / "in"))
    assert picture.exif == b"" and b"Ada" not in rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []


def test_lines_that_are_counted_behind_the_first_scan(tmp_path):
    content = stored("JPEG")
    frame = content.index(b"\xff\xc0") + 5
    place = second_scan(content)
    counted = content[:place] + segment(0xDC, struct.pack(">H", 64)) + content[place:]
    counted = counted[:frame] + b"\0\0" + counted[frame + 2 :]
    picture = decoded(tmp_path, counted, "JPEG")
    assert np.array_equal(np.asarray(picture.image), as_pillow_shows(content))
    assert leaks(tmp_path / "in") == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_never_clean(tmp_path, share):
    content = stored("JPEG")
    (tmp_path / "x").write_bytes(content[: int(share * len(content))])
    assert any("can't be followed at byte" in leak for leak in leaks(tmp_path / "x"))


@pytest.mark.parametrize(
    "broken", [b"\xff\xe1\0\0", b"\xff\xe1\0\1", b"\xff\x02\0\4", b"\xff\xe1\xff\xff", b"\xff\xd8"]
)
def test_what_is_no_segment_is_named_with_its_place(tmp_path, broken):
    content = stored("JPEG")
    end = next(jpeg.segments(content)).end
    (tmp_path / "x").write_bytes(content[:end] + broken + content[end : end + 200])
    assert leaks(tmp_path / "x") == [f"structure that can't be followed at byte {end}"]
    with pytest.raises(Unfollowable):
        list(jpeg.segments((tmp_path / "x").read_bytes()))


@pytest.mark.parametrize("behind", [b"x", EOI, TRAILER, stored("JPEG")])
def test_bytes_behind_the_end_are_counted(tmp_path, behind):
    (tmp_path / "x").write_bytes(stored("JPEG") + behind)
    assert leaks(tmp_path / "x") == [f"{len(behind)} bytes behind the picture"]


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "4:2:0": {"subsampling": 2},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trailer", [b"", TRAILER, b"\0\0\1\x0a" + TRAILER + stored("JPEG")])
def test_a_whole_picture_needs_no_end_marker(tmp_path, kind, mode, trailer):
    image = scene().convert(mode)
    if mode == "CMYK":  # with black ink, of which there is none
        image.paste(Image.merge("CMYK", (*image.split()[:3], scene(seed=3).convert("L"))))
    content = stored("JPEG", image, **KINDS[kind])
    shown = as_pillow_shows(content)
    picture = decoded(tmp_path, content[:-2] + trailer, "JPEG")
    assert np.array_equal(np.asarray(picture.image), shown)
    assert any("behind the picture" in remark for remark in picture.remarks) is bool(trailer)
    assert leaks(tmp_path / "in")
    assert rewritten(tmp_path, picture).endswith(EOI)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [1, 2, 9, 100, 1000])
@pytest.mark.parametrize("trailer", [b"", bytes(5000), b"\x55" * 5000, b"\xff" * 5000])
def test_a_picture_with_missing_pixels_is_damaged(tmp_path, kind, missing, trailer):
    content = stored("JPEG", **KINDS[kind])
    with pytest.raises(PhotoError, match="truncated"):
        decoded(tmp_path, content[: -2 - missing] + trailer, "JPEG")


@pytest.mark.parametrize(
    "odd",
    [
        segment(0xE0),
        segment(0xE0, b"JFIF\0"),
        segment(0xE0, b"JFIF\0\1\2"),
        segment(0xE1),
        segment(0xE1, b"Exif\0"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE2),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\1"),
        segment(0xE2, b"MPF\0"),
        segment(0xE2, b"MPF\0II*\0\xff\xff"),
        segment(0xED),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4"),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0\0\0\0\1x"),
        segment(0xEE),
        segment(0xEE, b"Adobe"),
        segment(0xEE, b"Adobe\0d\0\0"),
        segment(0xFE),
        segment(0xDB),
    ],
)
def test_odd_segments_do_not_stop_the_pixels(tmp_path, odd):
    content = stored("JPEG")
    picture = decoded(tmp_path, content[:2] + odd + content[2:], "JPEG")
    assert np.array_equal(np.asarray(picture.image), as_pillow_shows(content))
    rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [10, 85, 100])
def test_steps_and_subsampling_are_those_that_pillow_reads(tmp_path, subsampling, quality):
    content = stored("JPEG", quality=quality, subsampling=subsampling)
    opened = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    settings = decoded(tmp_path, content, "JPEG").settings
    assert settings["subsampling"] == JpegImagePlugin.get_sampling(opened) == subsampling
    floor, chroma = jpeg._floor_tables()
    for ours, theirs, least in zip(
        settings["qtables"], opened.quantization.values(), (floor, chroma), strict=True
    ):
        assert ours == [max(1, min(pair)) for pair in zip(theirs, least, strict=True)]


def test_a_profile_in_parts_in_any_order_is_whole(tmp_path):
    parts = [SRGB[:100], SRGB[100:200], SRGB[200:]]
    laid = [segment(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, 3]) + part) for n, part in enumerate(parts)]
    content = stored("JPEG")
    for order in ((0, 1, 2), (2, 0, 1)):
        shuffled = content[:2] + b"".join(laid[n] for n in order) + content[2:]
        assert decoded(tmp_path, shuffled, "JPEG").settings["icc_profile"] == SRGB
    picture = decoded(tmp_path, content[:2] + laid[0] + laid[2] + content[2:], "JPEG")
    assert "icc_profile" not in picture.settings
    assert picture.remarks == ("its colour profile is damaged and was left out",)


def test_no_setting_of_the_library_is_needed_or_changed(tmp_path):
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    decoded(tmp_path, stored("JPEG")[:-2], "JPEG")
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)


def test_a_file_of_nothing_but_segments_ends_the_walk():
    content = b"\xff\xd8" + b"\xff\xe5\0\2" * 1_000_000
    with pytest.raises(Unfollowable):
        assert sum(1 for _ in jpeg.segments(content)) < 100_000
