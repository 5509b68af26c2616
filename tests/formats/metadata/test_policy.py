from __future__ import annotations

import base64
import io

import pytest
from conftest import scene
from helpers.icc_profiles import SRGB, laid_out, multi, screen, tags_of
from helpers.xmp_packets import about
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ulecli import __version__
from ulecli.formats.metadata import exif, icc, xmp
from ulecli.formats.metadata.policy import Carried, carried, merged
from ulecli.formats.metadata.xmp import Mark
from ulecli.formats.options import MetadataMode

PRIVATE, KEEP, STRIP = MetadataMode
SIZE = (96, 48)
GPANO = "{http://ns.google.com/photos/1.0/panorama/}"
SPHERE = {
    "ProjectionType": "equirectangular",
    "UsePanoramaViewer": "True",
    "FullPanoWidthPixels": "96",
    "FullPanoHeightPixels": "48",
    "CroppedAreaImageWidthPixels": "96",
    "CroppedAreaImageHeightPixels": "48",
    "CroppedAreaLeftPixels": "0",
    "CroppedAreaTopPixels": "0",
    "PosePitchDegrees": "-1.5",
    "InitialHorizontalFOVDegrees": "75.0",
}
PERSONAL = {
    "StitchingSoftware": "by Ada",
    "PoseHeadingDegrees": "270.0",
    "FirstPhotoDate": "2020-02-02T02:02:02Z",
    "FullPanoAda": "96",
}
OTHERS = {
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType": (
        "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    ),
    "{http://ns.useplus.org/ldf/xmp/1.0/}DataMining": (
        "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"
    ),
    "{http://ns.google.com/videos/1.0/spherical/}StereoMode": "left-right",
}


def panorama(**values: str) -> bytes:
    stated = {**SPHERE, **PERSONAL, **values}
    facts = "".join(f"<GPano:{name}>{value}</GPano:{name}>" for name, value in stated.items())
    return about(
        facts + "<dc:creator><rdf:Seq><rdf:li>Ada</rdf:li></rdf:Seq></dc:creator>",
        'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" xmlns:dc="http://purl.org/dc/elements/1.1/"',
    ).encode()


def turned(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def chosen(info: dict, mode: MetadataMode, format: str = "JPEG", size: tuple[int, int] = SIZE) -> Carried:
    return carried(info, mode, format=format, size=size, epsilon=8)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
def test_a_panorama_still_shows_as_one_and_says_no_more(format):
    kept = chosen({"xmp": panorama()}, PRIVATE, format)
    packet = kept.settings["xmp"]
    assert xmp.harmless_facts(packet) == {GPANO + name: value for name, value in SPHERE.items()}
    assert xmp.namespaces(packet) == [] and xmp.mark_of(packet) == Mark(__version__, 8)
    assert b"Ada" not in packet and b"270" not in packet and b"2020" not in packet and kept.remarks == ()


@pytest.mark.parametrize("mode", [STRIP, KEEP])
def test_the_other_modes_keep_none_or_all_of_it(mode):
    packet = chosen({"xmp": panorama()}, mode).settings["xmp"]
    assert (b"equirectangular" in packet, b"by Ada" in packet) == ((mode is KEEP,) * 2)
    assert xmp.mark_of(packet) == Mark(__version__, 8)


@pytest.mark.parametrize("mode", [PRIVATE, KEEP])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_geometry_goes_when_the_pixels_are_turned(mode, orientation):
    size = SIZE if orientation < 5 else SIZE[::-1]
    kept = chosen({"xmp": panorama(), "exif": turned(orientation)}, mode, size=size)
    assert bool(xmp.harmless_facts(kept.settings["xmp"])) == (orientation == 1)
    assert any("panorama" in remark for remark in kept.remarks) == (orientation > 1)


def test_the_geometry_goes_if_it_is_that_of_another_picture():
    for size, fits in (
        (SIZE, True),
        ((48, 24), True),
        ((47, 24), True),
        (SIZE[::-1], False),
        ((96, 96), False),
    ):
        assert (
            bool(xmp.harmless_facts(chosen({"xmp": panorama()}, PRIVATE, size=size).settings["xmp"])) == fits
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ProjectionType", "at Ada's"),
        ("FullPanoWidthPixels", "12 Ada Street"),
        ("FullPanoWidthPixels", "0049" * 20),
        ("PosePitchDegrees", "1.5, by Ada"),
        ("UsePanoramaViewer", "Ada"),
    ],
)
def test_no_text_hides_in_a_fact(name, value):
    packet = chosen({"xmp": panorama(**{name: value})}, PRIVATE).settings["xmp"]
    expected = {GPANO + known: stated for known, stated in SPHERE.items() if known != name}
    assert xmp.harmless_facts(packet) == expected and value.encode() not in packet
    stated = xmp.packet(Mark("1", 8), {GPANO + name: value})
    assert xmp.namespaces(stated) == ["GPano"]


@pytest.mark.parametrize("name", OTHERS)
def test_other_facts_about_no_person_stay(name):
    packet = chosen({"xmp": xmp.packet(Mark("1", 4), {name: OTHERS[name]})}, PRIVATE).settings["xmp"]
    assert xmp.harmless_facts(packet) == {name: OTHERS[name]} and xmp.namespaces(packet) == []
    other = xmp.packet(Mark("1", 4), {name: OTHERS[name] + "-of-Ada"})
    assert xmp.harmless_facts(other) == {} and len(xmp.namespaces(other)) == 1


@pytest.mark.parametrize("mode", MetadataMode)
def test_the_profile_loses_its_names_unless_all_is_kept(mode):
    settings = merged({"icc_profile": screen(), "quality": 95}, chosen({"icc_profile": screen()}, mode))
    expected = screen() if mode is KEEP else icc.private(screen())
    assert settings["icc_profile"] == expected and settings["quality"] == 95


@pytest.mark.parametrize("mode", MetadataMode)
def test_a_damaged_profile_is_left_out_and_said(mode):
    damaged = laid_out(SRGB, {b"desc": multi("Anna"), b"wtpt": tags_of(SRGB)[b"wtpt"]})
    kept = chosen({"icc_profile": damaged}, mode)
    settings = merged({"icc_profile": damaged}, kept)
    assert settings.get("icc_profile") == (damaged if mode is KEEP else None)
    assert kept.remarks == (() if mode is KEEP else ("its colour profile is damaged and was left out",))
    assert "icc_profile" not in merged({}, kept)


def test_the_copy_of_a_photo_with_names_in_its_profile(shared):
    with Image.open(shared / "cases" / "photo" / "03-icc_names.jpg") as photo:
        profile = photo.info["icc_profile"]
    kept = merged({"icc_profile": profile}, chosen({"icc_profile": profile}, PRIVATE))["icc_profile"]
    assert len(icc.leaks(profile)) == 5 and icc.leaks(kept) == []
    stored = io.BytesIO()
    scene().save(stored, "JPEG", icc_profile=kept)
    for word in ("Anna", "ANNA", "anna", "ABC1234567", "U2720Q"):
        assert word.encode() in profile or word.encode("utf-16-be") in profile
        assert word.encode() not in stored.getvalue() and word.encode("utf-16-be") not in stored.getvalue()


def test_bmp_has_room_for_nothing():
    assert chosen({"exif": turned(6), "xmp": panorama()}, KEEP, "BMP") == Carried()


def test_a_packet_is_as_long_as_its_format_has_room_for():
    words = about(f"<t:a>{'I came, I saw, ' * 5000}</t:a>", 'xmlns:t="urn:t"').encode()
    short, whole = chosen({"xmp": words}, KEEP), chosen({"xmp": words}, KEEP, "PNG")
    assert short.remarks == ("its XMP is damaged or too long and was left out",) and whole.remarks == ()
    assert xmp.namespaces(short.settings["xmp"]) == [] and xmp.namespaces(whole.settings["xmp"]) == ["t"]


def test_damaged_exif_is_left_out_and_said():
    for mode, count in ((PRIVATE, 1), (KEEP, 1), (STRIP, 0)):
        kept = chosen({"exif": b"Exif\0\0II*\0\xff\xff\0\0"}, mode)
        assert len(kept.remarks) == count and "exif" not in kept.settings


def test_texts_of_a_png_without_pictures_and_profiles():
    picture = io.BytesIO()
    scene().save(picture, "JPEG")
    hidden = base64.b64encode(picture.getvalue()).decode()
    info = {"Author": "Ada", "Raw profile type exif": "abc", "Picture": hidden, "dpi": (72, 72)}
    first = PngInfo()
    first.add(b"gAMA", b"\0\0\xb1\x8f")
    kept = chosen(info, KEEP, "PNG")
    both = merged({"pnginfo": first}, kept)["pnginfo"].chunks
    assert [chunk[:2] for chunk in both] == [(b"gAMA", b"\0\0\xb1\x8f"), (b"iTXt", b"Author\0\0\0\0\0Ada")]
    assert "pnginfo" not in chosen(info, PRIVATE, "PNG").settings


def test_exif_says_what_private_says_and_no_more():
    tags = Image.Exif()
    tags[0x0110], tags[0x013B] = "Camera", "Ada"
    info = {"exif": tags.tobytes()}
    assert exif.withheld(chosen(info, PRIVATE).settings["exif"]) == []
    assert exif.withheld(chosen(info, KEEP).settings["exif"]) == ["Artist"]
    assert "exif" not in chosen(info, STRIP).settings
