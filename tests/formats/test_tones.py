from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from conftest import scene
from formats.table import MARKED, decoded, rewritten, stored, tiff, tiff_tags
from formats.test_colour import WHITE, WORDS, icc
from PIL import Image, ImageCms

from ulecli.formats import colour, tones
from ulecli.imaging.delta import add_delta

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
D50_BT709 = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3l", *(round(65536 * value) for value in values))


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))


def parametric(function: int, *numbers: float) -> bytes:
    fixed = struct.pack(f">{len(numbers)}l", *(round(65536 * number) for number in numbers))
    return b"para\0\0\0\0" + struct.pack(">HH", function, 0) + fixed


def sampled(count: int, gamma: float) -> bytes:
    points = np.rint(65535 * np.linspace(0, 1, count) ** gamma).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">L", count) + points.tobytes()


def rgb_profile(curve: bytes) -> bytes:
    tags = {b"desc": WORDS, b"wtpt": WHITE}
    for n, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": xyz(D50_BT709[n]), name + b"TRC": curve}
    return icc(b"RGB ", b"XYZ ", tags)


def table_profile(gamma: float, side: int = 17) -> bytes:
    """A profile of a table (mft2) from RGB of such a gamma to Lab."""
    light = np.linspace(0, 1, side) ** gamma
    red, green, blue = np.meshgrid(light, light, light, indexing="ij")
    seen = np.stack([red, green, blue], -1) @ np.array(D50_BT709) / [0.9642, 1, 0.8249]
    roots = np.where(seen > (6 / 29) ** 3, np.cbrt(seen), seen / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * roots[..., 1] - 16, 500 * (roots[..., 0] - roots[..., 1])], -1)
    lab = np.concatenate([lab, 200 * (roots[..., 1:2] - roots[..., 2:3])], -1)
    coded = np.rint(lab * [65280 / 100, 256, 256] + [0, 32768, 32768]).clip(0, 65535).astype(">u2")
    one = b"".join(struct.pack(">l", 0x10000 * (n % 4 == 0)) for n in range(9))
    ends = struct.pack(">2H", 0, 65535) * 3
    head = b"mft2\0\0\0\0" + bytes([3, 3, side, 0]) + one + struct.pack(">2H", 2, 2)
    table = head + ends + coded.tobytes() + ends
    return icc(b"RGB ", b"Lab ", {b"desc": WORDS, b"wtpt": WHITE, b"A2B0": table, b"A2B1": table})


LINEAR = {
    "no curve": b"curv\0\0\0\0\0\0\0\0",
    "gamma 1": gamma_curve(1),
    "samples": sampled(1024, 1),
    "function 0": parametric(0, 1.0),
}
OTHERS = {
    "gamma 1.8": gamma_curve(1.8),
    "gamma 2.2": gamma_curve(2.2),
    "samples of 1.5": sampled(300, 1.5),
    "function 1": parametric(1, 2.0, 0.9, 0.1),
    "function 2": parametric(2, 2.0, 0.8, 0.1, 0.09),
    "function 3, sRGB": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "function 3, BT.709": parametric(3, 1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081),
    "function 4": parametric(4, 2.2, 0.9, 0.1, 0.3, 0.05, 0.0, 0.001),
}


def by_library(image: Image.Image, profile: bytes) -> np.ndarray:
    """What LittleCMS makes of it, without its shortcuts."""
    shown = ImageCms.profileToProfile(
        image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), 1, outputMode="RGB", flags=0x0100
    )
    return np.asarray(shown).astype(int)


@pytest.mark.parametrize("name", LINEAR | OTHERS)
def test_pictures_become_what_the_library_makes_of_them(name):
    profile = rgb_profile((LINEAR | OTHERS)[name])
    space = tones.profile_space(profile)
    assert space is not None
    ours = tones.to_srgb(np.asarray(scene()), space)
    apart = abs(ours - by_library(scene(), profile))
    assert apart.max() <= 1 and apart.mean() < 0.05
    deep = tones.to_srgb(np.asarray(scene()).astype(np.uint16) * 257, space)
    assert np.array_equal(ours, deep)


def shown_step(profile: bytes) -> int:
    """The largest step that eight levels of gray show as, by the library."""
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    shown = by_library(Image.fromarray(ramp), profile)[0]
    return int(abs(shown[8:] - shown[:-8]).max())


@pytest.mark.parametrize("format", MARKED)
@pytest.mark.parametrize("name", LINEAR | OTHERS)
def test_eight_levels_are_shown_as_not_many_more(tmp_path, format, name):
    profile = rgb_profile((LINEAR | OTHERS)[name])
    picture = decoded(tmp_path, stored(format, icc_profile=profile), format)
    kept = picture.settings.get("icc_profile")
    assert kept == (profile if shown_step(profile) <= tones.MOST_SHOWN else None)
    if kept is None:
        assert picture.remarks == ("its tones are unlike those of sRGB, so it was brought to sRGB",)
        source = decoded(tmp_path, stored(format), format).image.convert("RGB")
        assert abs(np.asarray(picture.image)[..., :3] - by_library(source, profile)).max() <= 1
        written = rewritten(tmp_path, picture)
        assert profile not in written and decoded(tmp_path, written, format).remarks == ()


@pytest.mark.parametrize("gamma", [1.0, 1.4])
def test_tables_of_unusual_tones_are_applied(tmp_path, gamma):
    profile = table_profile(gamma)
    picture = decoded(tmp_path, stored("PNG", icc_profile=profile), "PNG")
    assert "brought to sRGB" in picture.remarks[0] and "icc_profile" not in picture.settings
    assert abs(np.asarray(picture.image) - by_library(scene(), profile)).max() <= 1


def test_tables_of_usual_tones_are_kept(tmp_path):
    profile = table_profile(2.2)
    picture = decoded(tmp_path, stored("JPEG", icc_profile=profile), "JPEG")
    assert picture.settings["icc_profile"] == profile and picture.remarks == ()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_linear_light_are_not_posterised(tmp_path, mode, compression, order):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = np.stack([ramp, ramp // 2, ramp // 4], -1)
    if mode == "RGBA":
        pixels = np.dstack([pixels, ramp[::-1]])
    content = deep_tiff(pixels, rgb_profile(LINEAR["gamma 1"]), order, packed=compression != "raw")
    picture = decoded(tmp_path, content, "TIFF")
    expected = 255 * tones.encoded(pixels[..., :3] / 65535)
    assert abs(np.asarray(picture.image)[..., :3] - expected).max() < 1
    assert "icc_profile" not in picture.settings
    if mode == "RGBA":
        assert abs(np.asarray(picture.image)[..., 3] - ramp[::-1] / 257).max() <= 1


def deep_tiff(pixels: np.ndarray, profile: bytes, order: str, *, packed: bool) -> bytes:
    """A TIFF of 16 bits per channel, which Pillow can't write; packed as PackBits of literal runs."""
    height, width, channels = pixels.shape
    rows = [row.astype(order + "u2").tobytes() for row in pixels]
    if packed:
        rows = [
            b"".join(bytes([len(row[n : n + 128]) - 1]) + row[n : n + 128] for n in range(0, len(row), 128))
            for row in rows
        ]
    body = b"".join(rows)
    tags = tiff_tags((width, height), 16, channels, len(body)) | {34675: (7, profile)}
    return tiff(order, body, tags | ({259: (3, [32773])} if packed else {}))


def test_the_bound_holds_for_what_is_shown(tmp_path):
    """The chain of the command: decode, add, encode; what is seen before and after is compared."""
    profile = rgb_profile(LINEAR["gamma 1"])
    content = stored("PNG", icc_profile=profile)
    picture = decoded(tmp_path, content, "PNG")
    add_delta(picture.image, np.random.default_rng(0).choice(np.array([-8, 8], np.int8), (1, 16, 16)))
    with Image.open(io.BytesIO(rewritten(tmp_path, picture))) as after:
        assert "icc_profile" not in after.info
        change = np.asarray(after).astype(int) - by_library(scene(), profile)
    assert 7 <= abs(change).max() <= 9


def test_a_damaged_profile_is_no_reason_to_fail(tmp_path):
    whole = rgb_profile(LINEAR["samples"])
    for cut in (*range(20, 400, 13), len(whole) // 2, len(whole) - 4):
        profile = whole[:cut]
        tones.profile_space(profile)
        picture = decoded(tmp_path, stored("PNG", icc_profile=profile), "PNG")
        assert picture.image.size == scene().size
    assert tones.profile_space(b"") is None and tones.gray_curve(b"") is None
    assert tones.profile_space(rgb_profile(b"text\0\0\0\0nothing")) is None


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        *(("L", format) for format in ("AVIF", "WEBP", "HEIC", "JPEG", "TIFF", "PNG")),
        *(("LA", format) for format in ("AVIF", "WEBP", "HEIC", "TIFF", "PNG")),
    ],
)
def test_a_gray_profile_is_applied_in_every_format(tmp_path, format, mode):
    from formats.test_colour import gray_profile

    gray = scene().convert("L")
    image = gray if mode == "L" else Image.merge("LA", (gray, gray))
    if format in ("AVIF", "WEBP", "HEIC"):
        image = image.convert("RGBA" if mode == "LA" else "RGB")
    profile = gray_profile(1.8)
    try:
        content = stored(format, image, icc_profile=profile)
    except (OSError, ValueError, RuntimeError):
        pytest.skip("its encoder refuses a gray profile")
    plain = np.asarray(decoded(tmp_path, stored(format, image), format).image)
    if np.ptp(plain[..., :3], axis=2).max():
        pytest.skip("its decoder makes no gray of it")
    picture = decoded(tmp_path, content, format)
    shown = 255 * tones.encoded((plain[..., :3] / 255) ** 1.8)
    assert abs(np.asarray(picture.image)[..., :3] - shown).max() < 1
    assert "icc_profile" not in picture.settings and picture.remarks == ("its gray profile was applied",)
    assert colour.is_gray(profile)
