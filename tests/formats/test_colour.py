from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from conftest import scene
from PIL import Image, ImageCms

from ulecli.errors import PhotoSkipped
from ulecli.formats import colour
from ulecli.formats import picture as codec


def icc(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of version 2 for output devices; tags of equal content are laid out twice."""
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sLL", tag, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">L4xL4s4s4s12x4s", start + len(body), 0x02100000, b"prtr", space, connection, b"acsp")
    head += bytes(28) + struct.pack(">3L", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">L", len(tags)) + table + body


WORDS = b"desc\0\0\0\0\0\0\0\2x\0".ljust(92, b"\0")
WHITE = b"XYZ \0\0\0\0" + struct.pack(">3L", 0xF6D6, 0x10000, 0xD32D)


def gray_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))
    return icc(b"GRAY", b"XYZ ", {b"desc": WORDS, b"wtpt": WHITE, b"kTRC": curve})


def cmyk_profile(corners: np.ndarray) -> bytes:
    """A profile whose 16 corners (C slowest, K fastest) have these Lab colours."""
    coded = np.round(corners * [255 / 100, 1, 1] + [0, 128, 128]).astype(np.uint8)
    ramp = bytes(range(256))
    one = b"".join(struct.pack(">l", 0x10000 * (n % 4 == 0)) for n in range(9))
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + one
    table = head + ramp * 4 + coded.tobytes() + ramp * 3
    return icc(b"CMYK", b"Lab ", {b"desc": WORDS, b"wtpt": WHITE, b"A2B0": table, b"A2B1": table})


def srgb_of_linear(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return 255 * np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055
    )


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """CIE Lab under D50 to sRGB levels, by the matrix of the D50 version of sRGB."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * [0.9642, 1, 0.8249]
    matrix = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    return srgb_of_linear(np.clip(xyz @ matrix.T, 0, 1))


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_gets_the_tones_of_its_profile_and_stays_neutral(tmp_path, gamma, mode):
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    image = Image.fromarray(ramp).convert(mode)
    image.save(tmp_path / "in", "PNG", icc_profile=gray_profile(gamma))
    picture = codec.decode(tmp_path / "in", "PNG")
    pixels = np.asarray(picture.image)
    assert (np.ptp(pixels[..., :3], axis=2) == 0).all()
    assert abs(pixels[..., 0] - srgb_of_linear((ramp / 255) ** gamma)).max() < 1.1
    assert "icc_profile" not in picture.settings
    assert picture.remarks == ("its gray profile was applied",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_shown_by_its_profile(tmp_path, format):
    ink = np.array([[55, -37, -50], [48, 74, -3], [89, -5, 93], [16, 0, 0]]) - [95, 0, -2]
    bits = np.array([[n >> 3 & 1, n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(16)])
    corners = np.clip([95, 0, -2] + bits @ ink, [0, -128, -128], [100, 127, 127])
    patches = np.repeat(np.repeat(bits.reshape(2, 8, 4), 16, 0), 16, 1).astype(np.uint8) * 255
    image = Image.frombytes("CMYK", patches.shape[1::-1], patches.tobytes())
    settings = {"quality": 100} if format == "JPEG" else {"compression": "tiff_lzw"}
    image.save(tmp_path / "in", format, icc_profile=cmyk_profile(corners), **settings)
    picture = codec.decode(tmp_path / "in", format)
    assert picture.image.mode == "RGB" and "icc_profile" not in picture.settings
    assert picture.remarks == ("CMYK became sRGB by its colour profile",)
    pixels = np.asarray(picture.image)[8::16, 8::16].reshape(16, 3).astype(float)
    # Relative to the paper, with the blackest ink at black: what the transform of the library does.
    oracle = ImageCms.applyTransform(
        image,
        ImageCms.buildTransform(
            io.BytesIO(cmyk_profile(corners)), ImageCms.createProfile("sRGB"), "CMYK", "RGB", 1, flags=0x2000
        ),
    )
    assert abs(pixels - np.asarray(oracle)[8::16, 8::16].reshape(16, 3)).max() <= 3
    expected = srgb_of_lab(corners)
    light = corners[:, 0] > 40  # far from black, whose place is moved
    assert abs(pixels - expected)[light].mean() < 8
    naive = np.asarray(image.convert("RGB"))[8::16, 8::16].reshape(16, 3).astype(float)
    assert abs(naive - expected)[light].mean() > 25


def test_a_cmyk_profile_that_is_damaged_does_not_stop_the_pixels(tmp_path):
    profile = cmyk_profile(np.zeros((16, 3)))[:140]
    scene().convert("CMYK").save(tmp_path / "in", "TIFF", icc_profile=profile)
    picture = codec.decode(tmp_path / "in", "TIFF")
    assert picture.remarks == ("CMYK became RGB",)
    assert abs(np.asarray(picture.image).astype(int) - np.asarray(scene())).mean() < 1


def test_display_p3_is_what_a_phone_means_by_it(shared):
    with Image.open(shared / "nasty/jpeg/iphone_mpo_p3.jpg") as photo:
        theirs = photo.info["icc_profile"]
    image = scene(64, 64)
    seen = [
        np.asarray(
            ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("LAB"), outputMode="LAB"
            )
        ).astype(int)
        for profile in (
            theirs,
            colour.display_p3(),
            ImageCms.ImageCmsProfile(colour._srgb().profile).tobytes(),
        )
    ]
    assert abs(seen[0] - seen[1]).max() <= 1
    assert abs(seen[0] - seen[2]).max() > 5


def with_code_points(content: bytes, primaries: int, transfer: int) -> bytes:
    """Change the code points of every colour box of an AVIF or HEIC."""
    if b"colrnclx" not in content:
        pytest.skip("this version of the encoder writes no code points")
    parts = content.split(b"colrnclx")
    points = struct.pack(">HH", primaries, transfer)
    return parts[0] + b"".join(b"colrnclx" + points + part[4:] for part in parts[1:])


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_code_points_become_a_profile(tmp_path, format):
    name = format
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        name = "HEIF"
    scene().save(tmp_path / "plain", name)
    content = (tmp_path / "plain").read_bytes()
    assert "icc_profile" not in codec.decode(tmp_path / "plain", format).settings
    (tmp_path / "p3").write_bytes(with_code_points(content, 12, 13))
    picture = codec.decode(tmp_path / "p3", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        assert stored.info["icc_profile"] == colour.display_p3()
    for transfer, word in ((16, "PQ"), (18, "HLG")):
        (tmp_path / word).write_bytes(with_code_points(content, 9, transfer))
        with pytest.raises(PhotoSkipped, match=word):
            codec.decode(tmp_path / word, format)
    (tmp_path / "linear").write_bytes(with_code_points(content, 1, 8))
    with pytest.raises(PhotoSkipped, match="transfer 8"):
        codec.decode(tmp_path / "linear", format)
    (tmp_path / "wide").write_bytes(with_code_points(content, 9, 13))
    with pytest.raises(PhotoSkipped, match="primaries 9"):
        codec.decode(tmp_path / "wide", format)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIC"])
def test_a_wide_profile_is_carried(tmp_path, format):
    settings = {"icc_profile": colour.display_p3()}
    name = format
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        name = "HEIF"
    scene().save(tmp_path / "in", name, **settings)
    picture = codec.decode(tmp_path / "in", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    with Image.open(tmp_path / "out") as stored:
        assert stored.info["icc_profile"] == colour.display_p3()


def test_a_png_keeps_what_its_colours_mean(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
    chunks.add(b"cICP", bytes([12, 13, 0, 1]))
    chunks.add_text("Author", "somebody")
    scene().save(tmp_path / "in", "PNG", pnginfo=chunks)
    picture = codec.decode(tmp_path / "in", "PNG")
    codec.encode(picture, picture.image, tmp_path / "out")
    content = (tmp_path / "out").read_bytes()
    assert b"gAMA\0\x01\x86\xa0" in content and b"cICP\x0c\x0d\0\x01" in content
    assert b"somebody" not in content


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "AVIF", "HEIC"])
def test_gray_comes_out_gray(tmp_path, format):
    name = format
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        name = "HEIF"
    scene(98, 66).convert("L").save(tmp_path / "in", name)
    picture = codec.decode(tmp_path / "in", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    spread = np.ptp(np.asarray(codec.read_rgb(tmp_path / "out", format)), axis=2)
    assert spread.max() <= (1 if format in ("WEBP", "HEIC") else 0)  # rounding of their decoders
