from __future__ import annotations

import base64
import io

import pytest
from conftest import scene
from helpers.icc_profiles import SRGB, screen
from helpers.xmp_packets import about
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ulecli.formats.audit import shows_more
from ulecli.formats.metadata import xmp
from ulecli.formats.metadata.leaks import leaks_of
from ulecli.formats.metadata.xmp import Mark


def jpeg() -> bytes:
    stored = io.BytesIO()
    scene().save(stored, "JPEG")
    return stored.getvalue()


def test_each_block_is_named_with_what_it_reveals():
    tags = Image.Exif()
    tags[0x013B] = "Ada"
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0)})
    block = tags.tobytes()
    packet = about("<dc:title>t</dc:title>", 'xmlns:dc="http://purl.org/dc/elements/1.1/"').encode()
    assert leaks_of("EXIF", block) == leaks_of("EXIF", block[6:]) == ["EXIF Artist", "EXIF GPS"]
    assert leaks_of("XMP", packet) == ["XMP dc"]
    assert "profile description" in leaks_of("ICC", screen())
    assert leaks_of("comment", b"by Ada") == ["comment"]


def test_what_private_writes_is_clean():
    assert leaks_of("XMP", xmp.packet(Mark("1", 8))) == []
    assert leaks_of("EXIF", b"II*\0\x08\0\0\0\0\0\0\0\0\0") == []
    assert leaks_of("ICC", SRGB) == []


@pytest.mark.parametrize("profile", [SRGB, screen()])
def test_a_tiff_is_looked_through_with_its_profile(profile):
    stored = io.BytesIO()
    scene().save(stored, "TIFF", icc_profile=profile)
    found = leaks_of("TIFF", stored.getvalue())
    assert found == leaks_of("ICC", profile)
    stored = io.BytesIO()
    scene().save(stored, "TIFF", tiffinfo={315: "Ada"})
    assert leaks_of("TIFF", stored.getvalue()) == ["TIFF Artist"]


@pytest.mark.parametrize("kind", ["EXIF", "TIFF", "XMP", "ICC"])
@pytest.mark.parametrize("content", [b"nothing known", b"II*\0\xff\xff\0\0", b"<a>", SRGB[:50]])
def test_what_can_not_be_followed_is_never_clean(kind, content):
    (leak,) = leaks_of(kind, content)
    assert leak.endswith(("that can't be followed", "unreadable"))


def test_a_picture_in_a_packet_shows_more_in_every_mode():
    packet = about(f"<t:a>{base64.b64encode(jpeg()).decode()}</t:a>", 'xmlns:t="urn:t"').encode()
    found = leaks_of("XMP", packet)
    assert found == ["XMP t", "XMP embedded picture"]
    assert [shows_more(leak) for leak in found] == [False, True]


@pytest.mark.parametrize("kind", ["EXIF", "TIFF", "XMP", "ICC"])
@given(noise=st.binary(max_size=200))
def test_noise_has_a_name(kind, noise):
    assert all(leak.isprintable() and leak.strip() for leak in leaks_of(kind, noise))
