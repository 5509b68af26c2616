"""Kinds of pixels, frames and pages: taken right, or left alone with a reason."""

from __future__ import annotations

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import picture as codec
from ulecli.imaging.delta import add_delta

WIDE = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def png(kind: int, pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits per channel, of a kind that Pillow can't write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 16, kind, 0, 0, 0))
    middle = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(bits: int, pixels: bytes, size: tuple[int, int], photometric: int, order: str) -> bytes:
    """An uncompressed gray TIFF, of a kind that Pillow can't write."""
    tags = [(256, 4, size[0]), (257, 4, size[1]), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 0), (277, 3, 1), (278, 4, size[1]), (279, 4, len(pixels))]
    start = 8 + 2 + 12 * len(tags) + 4
    body = struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        place = struct.pack(
            order + ("HH" if kind == 3 else "L"), *((value, 0) if kind == 3 else (value or start,))
        )
        body += struct.pack(order + "HHL", tag, kind, 1) + place
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "L", 8) + body + bytes(4) + pixels


def twelve_bits(levels: np.ndarray) -> bytes:
    """Pack pairs of 12-bit levels into three bytes each."""
    first, second = levels.reshape(-1, 2).T.astype(np.uint32)
    packed = (first << 12) | second
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8).tobytes()


WIDE_FILES = {
    "gray PNG": ("PNG", png(0, WIDE), WIDE / 257),
    "gray TIFF": ("TIFF", tiff(16, WIDE.astype("<u2").tobytes(), (40, 30), 1, "<"), WIDE / 257),
    "gray TIFF, other byte order": (
        "TIFF",
        tiff(16, WIDE.astype(">u2").tobytes(), (40, 30), 1, ">"),
        WIDE / 257,
    ),
    "gray TIFF, white is 0": (
        "TIFF",
        tiff(16, WIDE.astype("<u2").tobytes(), (40, 30), 0, "<"),
        255 - WIDE / 257,
    ),
    "12 bits": ("TIFF", tiff(12, twelve_bits(WIDE >> 4), (40, 30), 1, "<"), (WIDE >> 4) * (255 / 4095)),
    "RGB": ("PNG", png(2, np.stack([WIDE] * 3, -1)), WIDE / 257),
    "gray with alpha": ("PNG", png(4, np.stack([WIDE, WIDE[::-1]], -1)), WIDE / 257),
    "RGB with alpha": ("PNG", png(6, np.stack([WIDE] * 3 + [WIDE[::-1]], -1)), WIDE / 257),
}


@pytest.mark.parametrize("name", WIDE_FILES)
def test_wide_pixels_keep_their_tones(tmp_path, name):
    format, content, expected = WIDE_FILES[name]
    (tmp_path / "in").write_bytes(content)
    picture = codec.decode(tmp_path / "in", format)
    pixels = np.asarray(picture.image).astype(float)
    assert abs(pixels[..., :3] - expected[..., None]).max() <= 1  # Pillow cuts the low byte off
    assert picture.remarks == (
        "12 bits per channel became 8" if name == "12 bits" else "16 bits per channel became 8",
    )
    assert (picture.image.mode == "RGBA") is ("alpha" in name)
    if "alpha" in name:
        assert abs(pixels[..., 3] - WIDE[::-1] / 257).max() <= 1
    codec.encode(picture, picture.image, tmp_path / "out")
    assert np.array_equal(np.asarray(codec.read_rgb(tmp_path / "out", format)), pixels)


def test_a_transparent_level_of_sixteen_bits(tmp_path):
    (tmp_path / "gray").write_bytes(png(0, WIDE, int(WIDE[3, 4]).to_bytes(2, "big")))
    picture = codec.decode(tmp_path / "gray", "PNG")
    assert np.argwhere(np.asarray(picture.image.getchannel("A")) == 0).tolist() == [[3, 4]]
    (tmp_path / "rgb").write_bytes(png(2, np.stack([WIDE] * 3, -1), b"\0\1" * 3))
    with pytest.raises(PhotoSkipped, match="transparent"):
        codec.decode(tmp_path / "rgb", "PNG")


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_without_right_tones_are_left_alone(tmp_path, mode):
    image = Image.new("F", (20, 10), 0.5) if mode == "F" else Image.new(mode, (20, 10))
    image.save(tmp_path / "in", "TIFF")
    with pytest.raises(PhotoSkipped, match="8 bits"):
        codec.decode(tmp_path / "in", "TIFF")


@pytest.mark.parametrize(
    "compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "group4"]
)
def test_tiff_stays_lossless_and_compressed(tmp_path, compression):
    image = scene().convert("1") if compression == "group4" else scene()
    image.save(tmp_path / "in", "TIFF", compression=compression, description="a scene", dpi=(300, 300))
    picture = codec.decode(tmp_path / "in", "TIFF")
    picture.settings["exif"] = picture.exif
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "in") as source, Image.open(tmp_path / "out") as stored:
        assert np.array_equal(np.asarray(source.convert("RGB")), np.asarray(stored))
        lossless = compression if compression not in ("jpeg", "group4") else "tiff_adobe_deflate"
        assert stored.info["compression"] == lossless
        assert stored.tag_v2[270] == "a scene" and stored.info["dpi"] == (300, 300)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_carries_its_exif_and_nothing_else(tmp_path, compression):
    tags = Image.Exif()
    tags[0x0110], tags[65000] = "A Camera", "of somebody"
    tags[34665] = {33434: 0.01, 36867: "2024:05:06 07:08:09", 37500: b"maker"}
    tags[34853] = {1: "N", 2: (1.0, 2.0, 3.0)}
    scene().save(tmp_path / "in", "TIFF", exif=tags.tobytes())
    picture = codec.decode(tmp_path / "in", "TIFF")
    picture.settings.update(compression=compression, exif=picture.exif)
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        assert np.array_equal(np.asarray(stored), np.asarray(scene()))
        found = stored.getexif()
        assert found[0x0110] == "A Camera" and 65000 not in found
        assert float(found.get_ifd(34665)[33434]) == pytest.approx(0.01)
        assert found.get_ifd(34665)[36867] == "2024:05:06 07:08:09"
        assert found.get_ifd(34853) == {1: "N", 2: (1.0, 2.0, 3.0)}
        assert 37500 not in found.get_ifd(34665)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp(tmp_path, mode):
    image = scene().convert(mode)
    image.save(tmp_path / "in", "BMP")
    picture = codec.decode(tmp_path / "in", "BMP")
    codec.encode(picture, picture.image, tmp_path / "out")
    assert (tmp_path / "out").read_bytes()[:2] == b"BM"
    assert np.array_equal(
        np.asarray(codec.read_rgb(tmp_path / "out", "BMP")), np.asarray(image.convert("RGB"))
    )


@pytest.mark.parametrize(("alpha", "taken"), [(0, True), (255, True), (128, False), (None, False)])
def test_only_a_bmp_with_real_transparency_is_left_alone(tmp_path, alpha, taken):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    if alpha is not None:
        pixels[..., 3] = alpha
    masks = struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<LllHHLLllLL", 56, 5, 6, 1, 32, 3, pixels.size, 0, 0, 0, 0) + masks
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    (tmp_path / "in").write_bytes(b"BM" + struct.pack("<LLL", 70 + len(body), 0, 70) + head + body)
    if not taken:
        with pytest.raises(PhotoSkipped, match="transparency"):
            codec.decode(tmp_path / "in", "BMP")
        return
    assert np.array_equal(np.asarray(codec.decode(tmp_path / "in", "BMP").image), pixels[..., :3])


@pytest.mark.parametrize(("format", "limit"), [("AVIF", 3), ("HEIC", 3)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_avif_and_heic(tmp_path, format, limit, mode):
    name = format
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        name = "HEIF"
    image = scene(128, 96)
    if mode == "RGBA":
        image.putalpha(scene(128, 96, seed=3).convert("L"))
    image.save(tmp_path / "in", name, quality=95)
    with Image.open(tmp_path / "in") as stored:
        expected = np.asarray(stored).astype(int)
    picture = codec.decode(tmp_path / "in", format)
    assert picture.image.mode == mode and picture.remarks == ()
    assert np.array_equal(np.asarray(picture.image), expected)
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        assert stored.format == name and stored.mode == mode
        assert abs(np.asarray(stored).astype(int) - expected)[..., :3].mean() < limit


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_avif_keeps_its_subsampling(tmp_path, sampling):
    scene().save(tmp_path / "in", "AVIF", subsampling=sampling)
    assert codec.decode(tmp_path / "in", "AVIF").settings["subsampling"] == sampling


def test_heic_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "in").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(PhotoSkipped, match=r"pip install '\.\[heif\]'"):
        codec.decode(tmp_path / "in", "HEIC")


SEVERAL = {"PNG": "PNG", "WEBP": "WEBP", "TIFF": "TIFF", "AVIF": "AVIF", "HEIC": "HEIF"}


@pytest.mark.parametrize("format", SEVERAL)
def test_of_several_pictures_the_first_is_taken_when_asked(tmp_path, format):
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    first, second = scene(seed=1), Image.new("RGB", (96, 64), "white")
    first.save(tmp_path / "in", SEVERAL[format], save_all=True, append_images=[second, second], quality=95)
    with pytest.raises(PhotoSkipped, match=r"of 2 frames|of 3 frames|3 pages|3 pictures"):
        codec.decode(tmp_path / "in", format)
    picture = codec.decode(tmp_path / "in", format, first_frame=True)
    assert "was taken" in picture.remarks[0]
    assert abs(np.asarray(picture.image).astype(int)[..., :3] - np.asarray(first)).mean() < 6
    codec.encode(picture, picture.image, tmp_path / "out")
    assert codec.decode(tmp_path / "out", format).remarks == ()


def test_a_thumbnail_is_no_page_and_is_not_carried(tmp_path):
    small = Image.new("RGB", (24, 16), "red")
    small.encoderinfo = {"tiffinfo": {254: 1}}
    buffer = io.BytesIO()
    scene().save(buffer, "TIFF", save_all=True, append_images=[small])
    (tmp_path / "in").write_bytes(buffer.getvalue())
    picture = codec.decode(tmp_path / "in", "TIFF")
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene()))
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        assert stored.n_frames == 1


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}], ids=["thumbnail first", "DNG"])
def test_a_raw_file_is_no_tiff(tmp_path, tags):
    scene().save(tmp_path / "in", "TIFF", tiffinfo=tags)
    with pytest.raises(PhotoSkipped, match="raw"):
        codec.decode(tmp_path / "in", "TIFF", first_frame=True)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_level_of_few_bits(tmp_path, bits):
    levels = np.arange(8 * 4).reshape(4, 8) % (1 << bits)
    packed = np.packbits(
        np.unpackbits(levels.astype(np.uint8)[..., None], axis=2)[..., -bits:].reshape(4, -1), 1
    )
    content = bytearray(png(0, np.zeros((4, 8), np.uint16), struct.pack(">H", 1)))
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    content[start:end] = chunk(b"IDAT", zlib.compress(rows))
    content[8:33] = chunk(b"IHDR", struct.pack(">LLBBBBB", 8, 4, bits, 0, 0, 0, 0))
    (tmp_path / "in").write_bytes(content)
    picture = codec.decode(tmp_path / "in", "PNG")
    assert np.array_equal(np.asarray(picture.image.getchannel("A")) == 0, levels == 1)


def claiming(format: str, side: int) -> bytes:
    """A small file whose header claims `side` x `side` pixels."""
    buffer = io.BytesIO()
    scene(16, 16).save(buffer, format, **({"lossless": False} if format == "WEBP" else {}))
    content = bytearray(buffer.getvalue())
    if format == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", side, side)
    elif format == "PNG":
        content[16:24] = struct.pack(">LL", side, side)
        content[29:33] = struct.pack(">L", zlib.crc32(content[12:29]))
    elif format == "BMP":
        content[18:26] = struct.pack("<LL", side, side)
    elif format == "TIFF":
        with Image.open(buffer) as opened:
            order = "<" if opened.tag_v2.prefix == b"II" else ">"
        for tag in (256, 257):
            place = content.index(struct.pack(order + "H", tag), 8)
            content[place + 2 : place + 12] = struct.pack(order + "HLL", 4, 1, side)
    return bytes(content)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_header_that_claims_too_much_is_refused(tmp_path, format):
    (tmp_path / "in").write_bytes(claiming(format, 40_000))
    with pytest.raises(PhotoError, match=r"40000 x 40000 pixels; the limit is 300 megapixels"):
        codec.decode(tmp_path / "in", format)
    (tmp_path / "small").write_bytes(claiming(format, 16))
    with pytest.raises(PhotoError, match=r"limit is 0.0002 megapixels"):
        codec.decode(tmp_path / "small", format, max_pixels=200)
    assert codec.decode(tmp_path / "small", format, max_pixels=256).image.size == (16, 16)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_too_few_bytes_for_what_the_header_claims(tmp_path, format):
    (tmp_path / "in").write_bytes(claiming(format, 17_000))
    with pytest.raises(PhotoError, match="can't be in"):
        codec.decode(tmp_path / "in", format)


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    (tmp_path / "in").write_bytes(content[:last] + content[last:-2] * 1000 + content[-2:])
    with pytest.raises(PhotoError, match="scans"):
        codec.decode(tmp_path / "in", "JPEG")


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_hidden_colours_stay_as_they_are(tmp_path, format):
    image = scene()
    image.putalpha(Image.fromarray(np.random.default_rng(0).integers(0, 2, (64, 96), dtype=np.uint8) * 200))
    image.save(tmp_path / "in", format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
    picture = codec.decode(tmp_path / "in", format)
    add_delta(picture.image, np.full((1, 4, 4), 5, np.int8))
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        change = np.asarray(stored).astype(int) - np.asarray(image)
    hidden = np.asarray(image)[..., 3] == 0
    assert (change[hidden] == 0).all() and (change[..., 3] == 0).all()
    free = ~hidden & (np.asarray(image)[..., :3] <= 250).all(axis=2)
    assert (change[free][:, :3] == 5).all()


def test_a_gain_map_that_is_left_out_is_told(tmp_path):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r hdrgm:Version=\"1.0\"/></x:xmpmeta>"
    scene().save(tmp_path / "in", "MPO", save_all=True, append_images=[scene(seed=2)], xmp=xmp)
    assert b"hdrgm" in (tmp_path / "in").read_bytes()
    (remark,) = codec.decode(tmp_path / "in", "JPEG").remarks
    assert "gain map" in remark or "2 pictures" in remark  # by the version of Pillow
