from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from conftest import scene
from formats.table import decoded, exif_block, rewritten, stored, tiff, tiff_tags
from PIL import Image, TiffImagePlugin

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.audit import leaks, mark_in
from ulecli.formats.metadata.xmp import Mark, packet
from ulecli.formats.picture import read_rgb


def sub_directory(photometric: int) -> bytes:
    """A TIFF whose further directory holds pixels of another kind, as that of a camera's raw file."""
    content = bytearray(stored("TIFF", tiffinfo={330: 0}))
    first = struct.unpack_from("<L", content, 4)[0]
    (count,) = struct.unpack_from("<H", content, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, place) == (330,):
            struct.pack_into("<HLL", content, place + 2, 4, 1, len(content))
    return bytes(content) + struct.pack("<HHHLHHL", 1, 262, 3, 1, photometric, 0, 0)


@pytest.mark.parametrize(("photometric", "taken"), [(32803, False), (34892, False), (2, True)])
def test_a_raw_file_is_recognised_by_any_directory(tmp_path, photometric, taken):
    content = sub_directory(photometric)
    if taken:
        assert decoded(tmp_path, content, "TIFF").image.size == scene().size
        assert "TIFF picture in the picture" in leaks(tmp_path / "in")
        return
    with pytest.raises(PhotoSkipped, match="raw"):
        decoded(tmp_path, content, "TIFF")


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}], ids=["thumbnail first", "DNG"])
def test_a_raw_file_is_no_tiff(tmp_path, tags):
    with pytest.raises(PhotoSkipped, match="raw"):
        decoded(tmp_path, stored("TIFF", tiffinfo=tags), "TIFF", first_frame=True)


def of_tags(tags: dict[int, object]) -> bytes:
    """A TIFF of 40 x 30 pixels with such tags."""
    ours = {256: 40, 257: 30, 258: (8, 8, 8), 259: 1, 262: 2, 273: 8, 277: 3, 278: 30, 279: 3600} | tags
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in ours.items():
        directory[tag] = value
    pixels = bytes(40 * 30 * 12)
    return b"II*\0" + struct.pack("<L", 8 + len(pixels)) + pixels + directory.tobytes(8 + len(pixels))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({258: (16, 16, 16), 284: 2}, "one after the other"),
        ({258: 16, 284: 2}, "one after the other"),
        ({339: (2, 2, 2)}, "8-bit signed"),
        ({339: (3, 3, 3), 258: (32, 32, 32)}, "32-bit float"),
        ({258: (32, 32, 32)}, "32-bit pixels"),
        ({259: 34712}, "compression 34712"),
        ({262: 6, 530: (2, 2)}, "YCbCr"),
        ({262: 6, 530: (1, 1), 284: 2, 273: (8, 1208, 2408), 279: (1200,) * 3}, "Y, Cb and Cr one after"),
        ({262: 6, 530: (2, 2), 284: 2, 259: 5}, "Y, Cb and Cr one after"),
        ({262: 6, 530: (1, 1), 284: 2, 259: 7}, "Y, Cb and Cr one after"),
        ({262: 5, 332: 2, 277: 4, 258: (8, 8, 8, 8)}, "inks other than CMYK"),
        ({262: 9}, "unknown pixel mode"),
    ],
)
def test_tiffs_that_would_be_misread_are_left_alone(tmp_path, tags, reason):
    with pytest.raises(PhotoSkipped, match=reason):
        decoded(tmp_path, of_tags(tags), "TIFF")


def with_colour_map(divisor: int) -> tuple[bytes, np.ndarray]:
    """Return a TIFF with a palette that counts to 65535 // divisor, and the colours that are meant."""
    levels = (np.arange(40 * 30).reshape(30, 40) % 256).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3))
    colours[0] = 255
    counted = (colours * 257 // divisor).T.ravel().tolist()
    tags = tiff_tags((40, 30), 8, 1, 1200) | {262: (3, [3]), 320: (3, counted)}
    return tiff("<", levels.tobytes(), tags), colours[levels]


@pytest.mark.parametrize("divisor", [1, 257], ids=["to 65535", "to 255"])
def test_a_colour_map_counts_to_65535_or_in_old_software_to_255(tmp_path, divisor):
    content, expected = with_colour_map(divisor)
    picture = decoded(tmp_path, content, "TIFF")
    assert np.array_equal(np.asarray(picture.image), expected) and picture.remarks == ()
    rewritten(tmp_path, picture)
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "out", "TIFF")), expected)


def test_a_dark_picture_of_full_range_stays_dark(tmp_path):
    content, _ = with_colour_map(1)
    place = content.index(struct.pack("<HHL", 320, 3, 768))
    start = struct.unpack_from("<L", content, place + 8)[0]
    dim = np.frombuffer(content[start : start + 1536], "<u2") // 300 + 60
    content = content[:start] + dim.astype("<u2").tobytes() + content[start + 1536 :]
    assert np.asarray(decoded(tmp_path, content, "TIFF").image).max() <= 1


def test_exif_xmp_and_all_directories_are_looked_at(tmp_path):
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + exif_block())
    tags[0x8769] = {0x9286: b"ASCII\0\0\0by Ada", 0xA431: "123"}
    tags[700] = packet(Mark("1", 8))
    (tmp_path / "x").write_bytes(stored("TIFF", exif=tags.tobytes()))
    assert {"TIFF Artist", "TIFF GPS", "TIFF UserComment", "TIFF BodySerialNumber"} <= set(
        leaks(tmp_path / "x")
    )
    assert mark_in(tmp_path / "x") == Mark("1", 8)


def test_further_pages_are_looked_at(tmp_path):
    (tmp_path / "x").write_bytes(stored("TIFF", save_all=True, append_images=[scene(seed=2)]))
    assert "TIFF second page" in leaks(tmp_path / "x")


def test_a_bigtiff_is_read_and_never_clean(tmp_path):
    content = stored("TIFF", big_tiff=True, tiffinfo={315: "Ada"})
    assert content[:4] == b"II+\0"
    assert np.array_equal(np.asarray(decoded(tmp_path, content, "TIFF").image), np.asarray(scene()))
    assert "can't be followed" in leaks(tmp_path / "in")[0]


@pytest.mark.parametrize("length", [4, 7, 8, 100])
def test_a_file_that_is_cut_short_is_never_clean(tmp_path, length):
    content = stored("TIFF")
    first = struct.unpack_from("<L", content, 4)[0]
    (tmp_path / "x").write_bytes(content[: min(length, first - 1)])
    assert "can't be followed" in leaks(tmp_path / "x")[0]


def test_larger_pictures_than_the_library_likes_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for compression in ("raw", "tiff_lzw"):
        picture = decoded(tmp_path, stored("TIFF", compression=compression), "TIFF")
        assert np.array_equal(np.asarray(picture.image), np.asarray(scene()))
        rewritten(tmp_path, picture)
        assert read_rgb(tmp_path / "out", "TIFF").size == scene().size
        assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(PhotoError):
        decoded(tmp_path, stored("TIFF")[:5000], "TIFF")
    assert Image.MAX_IMAGE_PIXELS == 100


def test_tags_of_the_file_do_not_come_back_through_the_encoder(tmp_path):
    content = stored("TIFF", tiffinfo={315: "Ada", 270: "a scene", 65000: "secret"}, dpi=(300, 300))
    written = rewritten(tmp_path, decoded(tmp_path, content, "TIFF"))
    with Image.open(io.BytesIO(written)) as opened:
        assert not {315, 270, 65000, 282} & set(opened.tag_v2)


def test_a_preview_beside_the_strips_is_a_leak(tmp_path):
    body, preview = bytes(12), stored("JPEG")
    tags = tiff_tags((2, 2), 8, 3, len(body)) | {513: (4, [8]), 514: (4, [len(preview)])}
    (tmp_path / "in").write_bytes(tiff("<", body + preview, tags))
    assert "TIFF embedded picture" in leaks(tmp_path / "in")
