"""What a file holds beside its picture: followed where it says how that lies, or reported as lost."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from conftest import scene
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from ulecli.errors import PhotoError
from ulecli.formats import picture as codec
from ulecli.formats.metadata.policy import carried
from ulecli.formats.options import MetadataMode as Mode
from ulecli.imaging.difference import difference

VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x40\x08mdat" + bytes(range(256)) * 64
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"]


def stored(format: str, **settings: object) -> bytes:
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    scene().save(file, {"HEIC": "HEIF"}.get(format, format), **settings)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(*segments: bytes) -> bytes:
    content = stored("JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def packet(says: bytes) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" ' + says + b"/></rdf:RDF></x:xmpmeta>"
    )


def remarks(tmp_path, content: bytes, format: str) -> str:
    (tmp_path / "in").write_bytes(content)
    return "; ".join(codec.decode(tmp_path / "in", format).remarks)


@pytest.mark.parametrize("format", FORMATS)
def test_the_video_of_a_motion_photo_is_told(tmp_path, format):
    assert remarks(tmp_path, stored(format), format) == ""
    assert "video" in remarks(tmp_path, stored(format) + VIDEO, format)


def test_a_video_that_something_follows_and_a_thumbnail_precedes_is_told(tmp_path):
    thumbnail = segment(0xE1, b"Exif\0\0" + stored("JPEG")[:60_000])
    content = with_segments(thumbnail) + VIDEO + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_DataSEFT"
    assert "video" in remarks(tmp_path, content, "JPEG")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_what_follows_a_picture_is_told_unless_it_is_filling(tmp_path, format):
    assert remarks(tmp_path, stored(format) + bytes(5000), format) == ""
    assert "behind the picture" in remarks(tmp_path, stored(format) + b"archive", format)


@pytest.mark.parametrize("rest", [b"\xff", bytes(5000), b"\xff" * 999, bytes(5000) + b"SEFT", VIDEO])
def test_a_jpeg_without_its_end_marker_is_whole_whatever_follows(tmp_path, rest):
    content = stored("JPEG")
    expected = np.asarray(Image.open(io.BytesIO(content)))
    (tmp_path / "in").write_bytes(content.removesuffix(b"\xff\xd9") + rest)
    assert np.array_equal(np.asarray(codec.decode(tmp_path / "in", "JPEG").image), expected)


@pytest.mark.parametrize("missing", [4, 8, 20])
def test_a_jpeg_that_lacks_a_few_bytes_before_filling_is_damaged(tmp_path, missing):
    (tmp_path / "in").write_bytes(stored("JPEG")[:-missing] + bytes(5000))
    with pytest.raises(PhotoError, match="truncated"):
        codec.decode(tmp_path / "in", "JPEG")


def test_half_a_jpeg_before_a_video_is_damaged(tmp_path):
    content = stored("JPEG")
    (tmp_path / "in").write_bytes(content[: len(content) // 2] + VIDEO)
    with pytest.raises(PhotoError, match="truncated"):
        codec.decode(tmp_path / "in", "JPEG")


@pytest.mark.parametrize("filling", [b"\0", b"\x55"])
def test_half_a_jpeg_is_damaged_whatever_follows(tmp_path, filling):
    content = stored("JPEG")
    (tmp_path / "in").write_bytes(content[: len(content) // 2] + filling * 100_000)
    with pytest.raises(PhotoError, match="damaged"):
        codec.decode(tmp_path / "in", "JPEG")


@pytest.mark.parametrize(
    "segments",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x><hdrgm:Version>1.0</hdrgm:Version></x>"),
        segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)),
    ],
    ids=["Ultra HDR", "ISO 21496"],
)
def test_a_gain_map_without_an_index_is_told(tmp_path, segments):
    assert "gain map" in remarks(tmp_path, with_segments(segments) + stored("JPEG"), "JPEG")


def test_what_can_not_be_kept_is_told_where_all_shall_be(tmp_path):
    content = with_segments(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet(b"")),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)),
        segment(0xEB, b"JP\0\1jumb"),
        segment(0xFE, b"a comment"),
    )
    (tmp_path / "in").write_bytes(content)
    reported = codec.decode(tmp_path / "in", "JPEG").info
    kept = carried(reported, Mode.KEEP, format="JPEG", size=(96, 64), epsilon=8)
    assert kept.remarks == ("could not keep: extended XMP, APP11 segment",)
    assert carried(reported, Mode.PRIVATE, format="JPEG", size=(96, 64), epsilon=8).remarks == ()


def test_chunks_of_a_png_that_can_not_be_kept_are_told(tmp_path):
    chunks = PngInfo()
    chunks.add(b"caBX", b"credentials")
    chunks.add_text("Raw profile type iptc", "\niptc\n       2\n1c02\n")
    chunks.add_text("Title", "a scene")
    scene().save(tmp_path / "in", "PNG", pnginfo=chunks)
    reported = codec.decode(tmp_path / "in", "PNG").info["not_carried"]
    assert reported == ("caBX chunk", "text 'Raw profile type iptc'")


def test_tags_of_a_tiff_that_can_not_be_kept_are_told(tmp_path):
    scene().save(tmp_path / "in", "TIFF", tiffinfo={270: "a scene", 315: "somebody", 65000: "secret"})
    reported = codec.decode(tmp_path / "in", "TIFF").info["not_carried"]
    assert reported == ("unknown tag",)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("beside", [None, 1], ids=["XMP alone", "EXIF says upright"])
def test_xmp_says_how_a_picture_lies_if_exif_does_not(tmp_path, format, beside):
    tags = Image.Exif()
    if beside:
        tags[0x0112] = beside
    xmp = packet(b'tiff:Orientation="6"')
    settings = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    if format == "TIFF":
        tags[700] = xmp
        settings["tiffinfo"] = tags
    elif format == "PNG":
        settings["pnginfo"] = PngInfo()
        settings["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    else:
        settings["xmp"] = xmp
    if beside and format != "TIFF":
        settings["exif"] = tags.tobytes()
    scene().save(tmp_path / "in", format, **settings)
    with Image.open(tmp_path / "in") as opened:
        shown = ImageOps.exif_transpose(opened).convert("RGB")
    picture = codec.decode(tmp_path / "in", format)
    assert picture.image.size == (scene().size if beside else scene().size[::-1]) == shown.size
    assert difference(picture.image, shown).max_change == 0


def test_xmp_does_not_turn_what_the_container_has_turned(tmp_path):
    (tmp_path / "in").write_bytes(stored("AVIF", xmp=packet(b'tiff:Orientation="6"')))
    assert codec.decode(tmp_path / "in", "AVIF").image.size == scene().size


@pytest.mark.parametrize("damage", [False, True])
def test_exif_in_the_form_of_text_is_exif(tmp_path, damage):
    tags = Image.Exif()
    tags[0x0110], tags[0x0112] = "A Camera", 3
    block = tags.tobytes()
    chunks = PngInfo()
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n"
    chunks.add_text("Raw profile type exif", text.replace("45", "xx") if damage else text)
    scene().save(tmp_path / "in", "PNG", pnginfo=chunks)
    picture = codec.decode(tmp_path / "in", "PNG")
    upright = scene() if damage else scene().transpose(Image.Transpose.ROTATE_180)
    assert difference(picture.image, upright).max_change == 0
    assert (b"A Camera" in picture.exif) is not damage


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP"])
def test_the_printed_size_is_kept(tmp_path, format):
    scene().save(tmp_path / "in", format, dpi=(300, 150))
    picture = codec.decode(tmp_path / "in", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as opened:
        assert opened.info["dpi"] == pytest.approx((300, 150), abs=0.02)
