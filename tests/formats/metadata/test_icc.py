from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from helpers.icc_profiles import NAME, SRGB, WHITE, laid_out, multi, old, plain, screen, tags_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from ulecli.formats.metadata import icc


def table(kind: bytes = b"mft2") -> bytes:
    """A table of 8 or 16 bits from RGB to the Lab of version 2, with a bend in it."""
    matrix = struct.pack(">9l", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    head = kind + bytes(4) + bytes((3, 3, 5, 0)) + matrix
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 5) ** 1.5] * 3, indexing="ij"), -1)
    lab = np.stack(
        [grid.mean(-1), 0.5 + (grid[..., 0] - grid[..., 1]) / 3, 0.5 + (grid[..., 1] - grid[..., 2]) / 3], -1
    )
    curve = np.linspace(0, 1, 256)
    if kind == b"mft1":
        curves = (curve * 255).round().astype("u1").tobytes() * 3
        return head + curves + (lab * 255).round().astype("u1").tobytes() + curves
    curves = (curve * 65535).round().astype(">u2").tobytes() * 3
    return (
        head + struct.pack(">HH", 256, 256) + curves + (lab * 65280).round().astype(">u2").tobytes() + curves
    )


def converted(profile: bytes, intent: int) -> bytes:
    """Return what a picture of all tones looks like in sRGB, by littleCMS."""
    mode = "L" if profile[16:20] == b"GRAY" else "RGB"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    noise[:16] = np.arange(256, dtype=np.uint8).repeat(4).reshape(16, 64)[..., None]
    image = Image.fromarray(noise[..., 0] if mode == "L" else noise)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    return ImageCms.applyTransform(image, transform).tobytes()


def with_tables(kind: bytes) -> bytes:
    header = bytearray(SRGB[:128])
    header[8], header[20:24] = 2, b"Lab "
    names = {b"desc": old(NAME), b"cprt": plain("Anna"), b"wtpt": WHITE}
    return laid_out(bytes(header), names | {b"A2B0": table(kind), b"A2B1": table(kind)})


def gray() -> bytes:
    header = bytearray(SRGB[:128])
    header[8], header[16:20] = 2, b"GRAY"
    tones = b"curv\0\0\0\0" + struct.pack(">LH", 1, 461)
    return laid_out(
        bytes(header), {b"desc": old(NAME), b"cprt": plain("Anna"), b"wtpt": WHITE, b"kTRC": tones}
    )


PROFILES = {
    "sRGB": SRGB,
    "screen": screen(),
    "screen of version 2": screen(2),
    "8-bit tables": with_tables(b"mft1"),
    "16-bit tables": with_tables(b"mft2"),
    "gray": gray(),
}


@pytest.mark.parametrize("intent", range(4))
@pytest.mark.parametrize("name", PROFILES)
def test_pixels_convert_as_before(name, intent):
    profile = PROFILES[name]
    assert converted(icc.private(profile), intent) == converted(profile, intent)


@pytest.mark.parametrize("name", PROFILES)
def test_no_name_and_no_number_is_left(name):
    after = icc.private(PROFILES[name])
    assert icc.leaks(after) == [] and icc.private(after) == after
    for word in ("Anna", "ANNA", "ABC1", "anna", "EDID", "Dell", "DEL "):
        assert word.encode() not in after and word.encode("utf-16-be") not in after
    assert int.from_bytes(after[:4], "big") == len(after)
    assert after[84:128] == bytes(44) and after[24:36] == icc.private(SRGB)[24:36]


def test_leaks_name_what_a_profile_says():
    said = {
        *("description", "copyright", "maker of the device", "model of the device", "make and model"),
        *("further data", "measurements", "calibration of the screen", "tag 'MS00'", "tag 'anna'"),
        "device in its header",
    }
    assert set(icc.leaks(screen())) == set(icc.leaks(screen(2))) == said
    assert icc.leaks(SRGB) == []


def test_a_profile_that_everyone_has_is_not_one_with_something_in_it():
    tags = tags_of(SRGB) | {b"desc": multi("sRGB"), b"cprt": multi("CC0")}
    stock = laid_out(SRGB[:4] + bytes(4) + SRGB[8:80] + bytes(48), tags)
    assert icc.private(stock) == stock and icc.leaks(stock) == []
    for changed in (
        laid_out(stock, {**tags, b"desc": multi("sRGB", NAME)}),
        laid_out(stock, {**tags, b"lumi": WHITE + b"Anna"}),
        laid_out(stock, {**tags, b"pre0": table() + b"Anna"}),
        laid_out(stock, {**tags, b"wtpt": WHITE + b"Anna"}),
        laid_out(stock[:4] + b"lcms" + stock[8:], tags),
        stock[:48] + b"Anna" + stock[52:],
        stock[:120] + b"Anna" + stock[124:],
        stock + b"Anna",
    ):
        after = icc.private(changed)
        assert b"Anna" not in after and NAME.encode("utf-16-be") not in after and after[4:8] == bytes(4)


def test_what_engines_do_not_read_does_not_hide_in_a_tag():
    tags = tags_of(SRGB)
    tags[b"wtpt"] = WHITE + b"Anna"
    tags[b"rTRC"] += b"Anna"
    tags[b"bkpt"] = plain("Anna")
    assert b"Anna" not in icc.private(laid_out(SRGB, tags))
    assert icc.leaks(laid_out(SRGB, tags)) == ["tag 'bkpt'"]


@pytest.mark.parametrize(
    ("description", "copyright", "kept"),
    [
        ("Display P3", "Copyright Apple Inc., 2017", True),
        ("sRGB IEC61966-2.1", "Copyright (c) 1998 Hewlett-Packard Company", True),
        ("Adobe RGB (1998)", "Copyright 1999 Adobe Systems Incorporated", True),
        ("ProPhoto RGB", "Copyright (c) Eastman Kodak Company, 1999, all rights reserved.", True),
        ("Gray Gamma 2.2", "Copyright (c) 1999 Adobe Systems Incorporated. All Rights Reserved.", True),
        ("Display P3 of Anna", "Copyright Anna Apple Inc., 2017", False),
        ("DELL U2720Q", "Copyright 1234567890", False),
        ("", "", False),
    ],
)
def test_the_texts_of_profiles_that_everyone_has_stay(description, copyright, kept):
    for profile in (
        laid_out(SRGB, tags_of(SRGB) | {b"desc": multi(description), b"cprt": multi(copyright)}),
        laid_out(
            SRGB[:8] + b"\2" + SRGB[9:128],
            tags_of(SRGB) | {b"desc": old(description), b"cprt": plain(copyright)},
        ),
    ):
        after = ImageCms.ImageCmsProfile(io.BytesIO(icc.private(profile)))
        texts = (ImageCms.getProfileDescription(after).strip(), ImageCms.getProfileCopyright(after).strip())
        assert texts == ((description, copyright) if kept else ("RGB", "No copyright"))
        assert (icc.leaks(profile) == []) == (kept or not description)


def test_the_profiles_of_real_photos(shared):
    for name in ("jpeg/adobe_rgb.jpg", "jpeg/gray_icc.jpg", "jpeg/iphone_mpo_p3.jpg", "names/IMG_1.jpg"):
        with Image.open(shared / "nasty" / name) as photo:
            profile = photo.info["icc_profile"]
        after = icc.private(profile)
        assert after == profile and icc.leaks(profile) == []
        after = icc.private(profile + b"Anna")
        assert b"Anna" not in after and len(after) <= len(profile) and icc.leaks(after) == []
        before, now = (ImageCms.ImageCmsProfile(io.BytesIO(content)) for content in (profile, after))
        assert ImageCms.getProfileDescription(before) == ImageCms.getProfileDescription(now)
        assert all(converted(after, intent) == converted(profile, intent) for intent in range(4))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no profile",
        SRGB[:100],
        SRGB[:140],
        SRGB[:36] + b"xxxx" + SRGB[40:],
        SRGB[:128] + b"\xff\xff\xff\xff" + SRGB[132:],
        SRGB[:12] + b"nmcl" + SRGB[16:],
        laid_out(SRGB, {b"desc": multi("sRGB"), b"wtpt": WHITE}),
        laid_out(SRGB, tags_of(SRGB) | {b"rTRC": b"curv\0\0\0\0\xff\xff\xff\xff"}),
    ],
)
def test_a_damaged_profile_is_refused_and_named(damaged):
    with pytest.raises(icc.BadProfile, match="profile"):
        icc.private(damaged)
    assert icc.leaks(damaged) == ["that can't be followed"]


@given(st.data())
def test_no_damage_does_more_than_refuse(data):
    whole = bytearray(PROFILES[data.draw(st.sampled_from(sorted(PROFILES)))][:2000])
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert all(name.isprintable() for name in icc.leaks(bytes(whole)))
    try:
        after = icc.private(bytes(whole))
    except icc.BadProfile:
        return
    assert icc.private(after) == after and icc.leaks(after) == []
