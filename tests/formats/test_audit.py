from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import time
import zlib

import pytest
from conftest import scene
from formats.table import box, chunk, segment
from formats.table import stored as stored_as
from helpers.icc_profiles import SRGB
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ulecli import __version__
from ulecli.formats import audit
from ulecli.formats import picture as codec
from ulecli.formats.jpeg import XMP as JPEG_XMP
from ulecli.formats.metadata import policy as metadata_carried
from ulecli.formats.metadata import xmp
from ulecli.formats.metadata.xmp import Mark
from ulecli.formats.options import MetadataMode as Mode
from ulecli.formats.picture import Picture

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "AVIF": "avif", "HEIC": "heic"}
PRIVATE = (
    "GPS",
    "Serial",
    "Owner",
    "Artist",
    "Copyright",
    "UserComment",
    "ImageUniqueID",
    "Thumbnail",
    "Preview",
)
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmlns:GImage="http://ns.google.com/photos/1.0/image/" '
    b'tiff:Orientation="6" tiff:ImageWidth="40" xmpNote:HasExtendedXMP="ABC" GImage:Data="%s">'
    b"<dc:creator><rdf:Seq><rdf:li>Ada</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
    b"%s<?xpacket end='w'?>"
)


def jpeg(**settings: object) -> bytes:
    stored = io.BytesIO()
    scene().save(stored, "JPEG", **settings)
    return stored.getvalue()


def full_xmp() -> bytes:
    return XMP % (base64.b64encode(jpeg()), b" " * 2000)


def little_endian(block: bytes) -> bytes:
    tags, turned = Image.Exif(), Image.Exif()
    tags.load(block)
    turned.endian = "<"
    for tag in (0x010F, 0x0110, 0x0112, 0x0131, 0x0132):
        turned[tag] = tags[tag]
    for directory in (0x8769, 0x8825):
        reported = {
            tag: value for tag, value in tags.get_ifd(directory).items() if tag not in (0x927C, 0xA005)
        }
        turned.get_ifd(directory).update(reported)
    return turned.tobytes()


def written(folder, format, mode, info, image=None):
    """Write a picture by the encoder of `protect`."""
    if format == "HEIC":
        pytest.importorskip("pillow_heif")
    image = image or scene()
    if format == "TIFF" and info.get("exif", b"").startswith(b"Exif\0\0MM"):
        info = {**info, "exif": little_endian(info["exif"])}  # as the codec has it of a TIFF
    kept = metadata_carried.carried(info, mode, format=format, size=image.size, epsilon=8)
    settings = {
        "JPEG": {"qtables": "web_high"},
        "PNG": {"pnginfo": PngInfo()},
        "TIFF": {"compression": "tiff_lzw", "tiffinfo": {}},
    }.get(format, {})
    picture = Picture(image, format, metadata_carried.merged({"icc_profile": SRGB, **settings}, kept), ())
    path = folder / f"{mode}.{FORMATS[format]}"
    path.unlink(missing_ok=True)
    codec.encode(picture, image, path)
    return path, kept


def source(shared, name="Nikon D3100.jpg") -> dict:
    with Image.open(shared / "photos" / name) as photo:
        return photo.info | {"xmp": full_xmp(), "comment": b"by Ada"}


def exiftool(path) -> dict:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    done = subprocess.run(["exiftool", "-j", "-G1", "-a", path], capture_output=True, check=True)
    return json.loads(done.stdout)[0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", Mode)
def test_every_format_bears_the_mark_in_every_mode(tmp_path, shared, format, mode):
    path, _ = written(tmp_path, format, mode, source(shared))
    assert audit.mark_in(path) == Mark(__version__, 8) and audit.is_protected(path)
    with Image.open(path) as stored:
        stored.load()
        assert stored.size == scene().size and stored.info.get("icc_profile")
        assert stored.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_private_by_the_word_of_exiftool(tmp_path, shared, format):
    reported = exiftool(written(tmp_path, format, Mode.PRIVATE, source(shared))[0])
    reported = {name: value for name, value in reported.items() if not name.startswith("ICC")}
    assert not [name for name in reported if any(word in name for word in PRIVATE)]
    assert not [name for name in reported if name.startswith(("Nikon", "XMP-")) and "ulecli" not in name]
    assert not [name for name in reported if "Warning" in name or "Error" in name]
    assert reported["IFD0:Model"] == "NIKON D3100" and reported["IFD0:Software"] == "Ver.1.00"
    assert (
        reported["ExifIFD:DateTimeOriginal"] == "2010:12:02 13:18:23"
        and reported["ExifIFD:ExposureTime"] == "1/200"
    )
    assert (reported["ExifIFD:ExifImageWidth"], reported["ExifIFD:ExifImageHeight"]) == scene().size
    assert reported["XMP-ulecli:Protected"] is True and reported["XMP-ulecli:Epsilon"] == 8


@pytest.mark.parametrize("format", FORMATS)
def test_strip_leaves_the_mark_and_the_profile(tmp_path, shared, format):
    reported = exiftool(written(tmp_path, format, Mode.STRIP, source(shared))[0])
    groups = {
        name.partition(":")[0]
        for name in reported
        if name.startswith(("XMP", "Exif", "GPS", "Nikon", "IPTC"))
    }
    assert groups == {"ExifTool", "XMP-ulecli"}
    assert "IFD0:Model" not in reported and any(name.startswith("ICC") for name in reported)


@pytest.mark.parametrize("format", FORMATS)
def test_keep_keeps_all_but_the_pictures(tmp_path, shared, format):
    path, kept = written(tmp_path, format, Mode.KEEP, source(shared))
    assert kept.remarks == ()
    reported = exiftool(path)
    assert "GPS:GPSVersionID" in reported
    assert format == "TIFF" or reported["Nikon:SerialNumber"] == 6107872
    assert reported["XMP-dc:Creator"] == "Ada" and reported["XMP-tiff:Orientation"] == "Horizontal (normal)"
    assert "XMP-tiff:ImageWidth" not in reported and "XMP-xmpNote:HasExtendedXMP" not in reported
    assert reported["XMP-ulecli:Protected"] is True
    if format == "JPEG":
        assert reported["File:Comment"] == "by Ada"
    assert not any(audit.shows_more(leak) for leak in audit.leaks(path))


def hidden_pictures(content: bytes) -> int:
    """Count the JPEG beginnings in a file, also those in the form of text, by search alone."""
    return content.count(b"\xff\xd8\xff") + content.count(b"/9j/")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("format", FORMATS)
def test_no_picture_hides_in_the_bytes(tmp_path, shared, mode, format):
    photos = sorted((shared / "photos").glob("*.jpg"))
    assert sum(hidden_pictures(photo.read_bytes()) for photo in photos) > 2 * len(photos)
    for photo in photos if format == "JPEG" and mode is not Mode.STRIP else photos[:2]:
        path, _ = written(tmp_path, format, mode, source(shared, photo.name))
        assert hidden_pictures(path.read_bytes()) == (format == "JPEG"), photo.name


def test_the_second_picture_and_the_long_xmp_of_a_jpeg_stay_behind(tmp_path):
    parts = io.BytesIO()
    scene(seed=1).save(parts, "MPO", save_all=True, append_images=[scene(seed=2)], xmp=full_xmp())
    long = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + base64.b64encode(jpeg())
    content = parts.getvalue()
    content = content[:2] + b"\xff\xe1" + (len(long) + 2).to_bytes(2, "big") + long + content[2:]
    (tmp_path / "in.jpg").write_bytes(content)
    found = audit.leaks(tmp_path / "in.jpg")
    assert "XMP extension" in found and "index of more pictures" in found
    assert any(leak.endswith("bytes behind the picture") for leak in found)
    with Image.open(tmp_path / "in.jpg") as stored:
        stored.load()
        info = stored.info
    for mode in Mode:
        path, _ = written(tmp_path, "JPEG", mode, info)
        assert hidden_pictures(path.read_bytes()) == 1


def test_leaks_are_what_private_removes(tmp_path, shared):
    scene().save(tmp_path / "plain.png")
    assert audit.leaks(tmp_path / "plain.png") == []
    for format in FORMATS:
        path, _ = written(tmp_path, format, Mode.PRIVATE, source(shared))
        assert audit.leaks(path) == []
        path, _ = written(tmp_path, format, Mode.KEEP, source(shared))
        found = " ".join(audit.leaks(path))
        assert "GPS" in found and "UserComment" in found and "XMP dc" in found


def test_leaks_of_a_camera_photo(shared):
    found = audit.leaks(shared / "photos" / "Nikon E995 (iptc).jpg")
    assert {"IPTC or Photoshop resources", "EXIF MakerNote", "EXIF embedded picture"} <= set(found)
    assert any(audit.shows_more(leak) for leak in found)


def test_texts_of_a_png(tmp_path):
    info = {"Author": "Ada", "Raw profile type exif": "abc", "Picture": base64.b64encode(jpeg()).decode()}
    path, _ = written(tmp_path, "PNG", Mode.KEEP, info)
    with Image.open(path) as stored:
        stored.load()
        assert stored.text.keys() == {"Author", "XML:com.adobe.xmp"}
    assert audit.leaks(path) == ["text 'Author'"]


def test_iptc_is_kept_on_demand_and_its_thumbnail_never(tmp_path):
    info = {"photoshop": {0x0404: b"\x1c\x02\x50\x00\x03Ada", 0x040C: bytes(28) + jpeg(), 0x0409: b"x"}}
    path, _ = written(tmp_path, "JPEG", Mode.KEEP, info)
    with Image.open(path) as stored:
        assert stored.info["photoshop"] == {0x0404: info["photoshop"][0x0404]}
    path, _ = written(tmp_path, "JPEG", Mode.PRIVATE, info)
    assert audit.leaks(path) == []


def test_damaged_exif_is_left_out_and_said(tmp_path):
    for mode, count in ((Mode.PRIVATE, 1), (Mode.KEEP, 1), (Mode.STRIP, 0)):
        path, kept = written(tmp_path, "JPEG", mode, {"exif": b"Exif\0\0II*\0\xff\xff\0\0", "xmp": b""})
        assert len(kept.remarks) == count and audit.leaks(path) == []


def test_exif_that_fits_no_segment(tmp_path):
    tags = Image.Exif()
    tags[0x0110], tags[0x010E] = "Camera", "x" * 70_000
    path, kept = written(tmp_path, "JPEG", Mode.KEEP, {"exif": tags.tobytes()})
    assert "too long" in kept.remarks[0]
    with Image.open(path) as stored:
        assert dict(stored.getexif()) == {0x0110: "Camera"}


@pytest.mark.parametrize("packet", [b"", b"no xmp", b"\xff\xfe<\0", full_xmp(), xmp.packet(Mark("0.0.9", 4))])
def test_the_mark_is_in_any_packet_once(tmp_path, packet):
    path, _ = written(tmp_path, "JPEG", Mode.KEEP, {"xmp": packet})
    assert audit.mark_in(path) == Mark(__version__, 8)
    assert path.read_bytes().count(b"ulecli:protected") == 1


@pytest.mark.parametrize("mode", [Mode.PRIVATE, Mode.KEEP])
@pytest.mark.parametrize("format", FORMATS)
def test_the_mark_outlives_exiftool(tmp_path, shared, format, mode):
    path, _ = written(tmp_path, format, mode, source(shared))
    before, found = path.read_bytes(), audit.leaks(path)
    exiftool(path)
    for change in ("-XMP:Rating=5", "-XMP-dc:Title=a title"):
        subprocess.run(["exiftool", "-q", "-m", "-overwrite_original", change, path], check=True)
        assert path.read_bytes() != before and audit.mark_in(path) == Mark(__version__, 8)
    assert set(audit.leaks(path)) == {*found, "XMP xmp", "XMP dc"}


def test_what_is_no_picture_bears_no_mark_and_is_not_clean(tmp_path):
    for content in (
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n\0",
        b"RIFF\4\0\0\0WEB",
        b"II*\0",
        b"\0\0\0\x0cftypavif",
        b"x" * 99,
    ):
        (tmp_path / "x").write_bytes(content)
        assert not audit.is_protected(tmp_path / "x")
        (leak,) = audit.leaks(tmp_path / "x")
        assert leak.startswith("structure that can't be followed at byte") and audit.shows_more(leak)


@pytest.mark.parametrize("format", FORMATS)
def test_no_damage_stops_the_reader(tmp_path, shared, format):
    path, _ = written(tmp_path, format, Mode.KEEP, source(shared))
    content = bytearray(path.read_bytes())
    for step in range(80):
        broken = content[: step * 99] if step % 2 else bytearray(content)
        for place in range(step, min(len(broken), 600), 97):
            broken[place] ^= 0xFF
        path.write_bytes(broken)
        assert all(leak.strip() and leak.isprintable() for leak in audit.leaks(path))


@pytest.mark.parametrize("format", FORMATS)
def test_the_mark_is_found_at_once(tmp_path, shared, format):
    path, _ = written(tmp_path, format, Mode.PRIVATE, source(shared), scene(600, 400))
    times = []
    for _ in range(20):
        began = time.perf_counter()
        assert audit.is_protected(path)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001


def test_a_container_is_read_from_its_structure(tmp_path):
    """Marks in the pixels, or behind the picture, are none."""
    (tmp_path / "x.jpg").write_bytes(jpeg() + JPEG_XMP + xmp.packet(Mark("1", 8)))
    assert not audit.is_protected(tmp_path / "x.jpg")


def test_bytes_that_belong_to_nothing_are_never_clean(tmp_path):
    profile = bytes(SRGB)
    longer = (len(profile) + 12).to_bytes(4, "big") + profile[4:] + b"Ada Example!"
    named = stored_as("PNG")
    name = chunk(b"iCCP", b"Ada Example\0\0" + zlib.compress(profile))
    tail = chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile) + b"Ada Example")
    for content, leak in (
        (jpeg(icc_profile=longer), "profile bytes that no tag holds"),
        (jpeg()[:2] + segment(0xDE, b"Ada Example") + jpeg()[2:], "segment 0xffde"),
        (named[:33] + name + named[33:], "name of the colour profile, or bytes behind it"),
        (named[:33] + tail + named[33:], "name of the colour profile, or bytes behind it"),
        (stored_as("AVIF") + box(b"mdat", b"Ada Example"), "bytes that no item holds"),
    ):
        (tmp_path / "in").write_bytes(content)
        assert audit.leaks(tmp_path / "in") == [leak]
