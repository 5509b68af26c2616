from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from conftest import scene
from formats.table import chunk, decoded, exif_block, rewritten, stored
from PIL import Image, ImageCms

from ulecli.errors import PhotoError
from ulecli.formats import png, tones
from ulecli.formats.audit import leaks, mark_in
from ulecli.formats.format import Unfollowable
from ulecli.formats.metadata.xmp import Mark, packet

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LONG = "x" * 3_000_000
XMP = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(Mark("1", 8)))
P3_TO_SRGB = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
"""Of light, as others publish it."""

HEADER = 33
"""Where what follows the first chunk begins."""


def with_chunks(*added: bytes, image: Image.Image | None = None) -> bytes:
    content = stored("PNG", image)
    return content[:HEADER] + b"".join(added) + content[HEADER:]


def text(key: str, content: str) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(content.encode()))


@pytest.mark.parametrize(
    ("long", "named"),
    [
        (text("workflow", LONG), ("text 'workflow'",)),
        (chunk(b"tEXt", b"workflow\0" + LONG.encode()), ("text 'workflow'",)),
        (chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG.encode())), ("text 'workflow'",)),
        (
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG.encode())),
            ("text 'XML:com.adobe.xmp'",),
        ),
        (chunk(b"zTXt", b"broken\0\0" + b"no zlib"), ("text 'broken'",)),
        (chunk(b"zTXt", b"a key alone"), ("text 'a key alone'",)),
        (
            b"".join(text(f"part {n}", "y" * 1_000_000) for n in range(20)),
            tuple(f"text 'part {n}'" for n in range(16, 20)),
        ),
        (chunk(b"iCCP", b"name\0\0no zlib"), ()),
        (chunk(b"gAMA", b"\0"), ()),
        (chunk(b"acTL", b"\0"), ()),
        (chunk(b"pHYs", b"\0"), ()),
        (chunk(b"eXIf", b""), ()),
    ],
    ids=[
        "zTXt",
        "tEXt",
        "iTXt",
        "XMP",
        "no zlib",
        "a key",
        "many",
        "profile",
        "gamma",
        "frames",
        "size",
        "EXIF",
    ],
)
def test_nothing_beside_the_pixels_stops_them(tmp_path, long, named):
    picture = decoded(tmp_path, with_chunks(long), "PNG")
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene()))
    assert picture.info["not_carried"] == named
    with Image.open(io.BytesIO(rewritten(tmp_path, picture))) as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(scene()))
    assert leaks(tmp_path / "out") == []


def test_a_profile_that_is_longer_than_readers_allow_a_text_is_kept(tmp_path):
    length = 2_000_000
    profile = length.to_bytes(4, "big") + SRGB[4:].ljust(length - 4, b"\0")
    long = chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))
    picture = decoded(tmp_path, with_chunks(long), "PNG")
    assert picture.settings["icc_profile"] == profile and picture.remarks == ()
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene()))


def test_metadata_behind_the_pixels_are_found(tmp_path):
    content = stored("PNG")
    late = chunk(b"eXIf", exif_block()) + chunk(b"tEXt", b"Author\0Ada") + XMP
    content = content[:-12] + late + content[-12:]
    picture = decoded(tmp_path, content, "PNG")
    assert b"Ada" in picture.exif and picture.info["Author"] == "Ada" and picture.xmp
    assert {"EXIF Artist", "EXIF GPS", "text 'Author'"} <= set(leaks(tmp_path / "in"))
    assert mark_in(tmp_path / "in") == Mark("1", 8)


def test_chunks_that_nobody_knows_are_leaks(tmp_path):
    decoded(tmp_path, with_chunks(chunk(b"caBX", b"credentials"), chunk(b"sPLT", b"by Ada\0\x08")), "PNG")
    assert leaks(tmp_path / "in") == ["chunk 'caBX'", "chunk 'sPLT'"]


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 10**6])
def test_a_chunk_that_is_longer_than_the_file_is_never_clean(tmp_path, length):
    content = stored("PNG")
    content = content[:-12] + length.to_bytes(4, "big") + b"eXIf" + exif_block()
    picture = decoded(tmp_path, content, "PNG")
    assert picture.remarks == ("what lies behind the picture in its file was left out",)
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene()))
    assert "can't be followed at byte" in leaks(tmp_path / "in")[0]
    with pytest.raises(Unfollowable):
        list(png.chunks(content))
    with pytest.raises(PhotoError):
        decoded(tmp_path, content[:HEADER] + content[len(content) - 12 :], "PNG")


def test_a_whole_picture_needs_no_end_chunk(tmp_path):
    content = stored("PNG")
    assert np.array_equal(np.asarray(decoded(tmp_path, content[:-12], "PNG").image), np.asarray(scene()))
    with pytest.raises(PhotoError):
        decoded(tmp_path, content[:-200], "PNG")


def gray_ramp(mode: str) -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(4, 0)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "said"),  # a palette has no gray profile
    [("P", "gAMA"), *((mode, said) for mode in ("L", "LA") for said in ("gAMA", "profile", "both"))],
)
@pytest.mark.parametrize("stored_gamma", [100_000, 55_556])
def test_gray_of_unusual_tones_becomes_srgb_and_no_chunk_says_otherwise(tmp_path, mode, stored_gamma, said):
    from formats.test_colour import gray_profile

    gamma = 100_000 / stored_gamma
    added = []
    if said != "profile":
        added += [chunk(b"gAMA", stored_gamma.to_bytes(4, "big")), chunk(b"cHRM", bytes(32))]
    if said != "gAMA":
        added.append(chunk(b"iCCP", b"gray\0\0" + zlib.compress(gray_profile(gamma))))
    picture = decoded(tmp_path, with_chunks(*added, image=gray_ramp(mode)), "PNG")
    shown = 255 * tones.encoded((np.arange(256) / 255) ** gamma)
    levels = np.asarray(picture.image)[0]
    assert abs(levels[:, :3] - shown[:, None]).max() < 1 and (np.ptp(levels[:, :3], axis=1) == 0).all()
    assert len(picture.remarks) == 1
    kinds = {one.kind for one in png.chunks(rewritten(tmp_path, picture))}
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_rgb_of_unusual_tones_becomes_srgb_by_its_gamma_and_primaries(tmp_path):
    white, primaries = (31270, 32900), ((68000, 32000), (26500, 69000), (15000, 6000))
    numbers = [number for pair in (white, *primaries) for number in pair]
    chromaticities = chunk(b"cHRM", b"".join(number.to_bytes(4, "big") for number in numbers))
    content = with_chunks(chunk(b"gAMA", (100_000).to_bytes(4, "big")), chromaticities)
    picture = decoded(tmp_path, content, "PNG")
    assert picture.remarks == ("its tones are unlike those of sRGB, so it was brought to sRGB",)
    linear = (np.asarray(scene()) / 255) @ P3_TO_SRGB.T
    assert abs(np.asarray(picture.image) - 255 * tones.encoded(linear)).max() < 1


@pytest.mark.parametrize(("transfer", "gamma"), [(8, 1.0), (5, 2.8)])
def test_code_points_of_other_tones(tmp_path, transfer, gamma):
    picture = decoded(tmp_path, with_chunks(chunk(b"cICP", bytes([1, transfer, 0, 1]))), "PNG")
    linear = (np.asarray(scene()) / 255) ** gamma
    converted = transfer == 8  # the steps of the other are not shown as much larger ones
    expected = 255 * tones.encoded(linear) if converted else np.asarray(scene())
    assert abs(np.asarray(picture.image) - expected).max() <= 1
    assert (b"cICP" in rewritten(tmp_path, picture)) is not converted


def test_usual_tones_stay_as_they_are(tmp_path):
    content = with_chunks(chunk(b"gAMA", (45_455).to_bytes(4, "big")))
    picture = decoded(tmp_path, content, "PNG")
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene())) and picture.remarks == ()
    assert b"gAMA" in rewritten(tmp_path, picture)


@pytest.mark.parametrize("kind", [0, 2, 4, 6], ids=["gray", "RGB", "gray and alpha", "RGBA"])
def test_sixteen_bits_of_linear_light_are_not_posterised(tmp_path, kind):
    from formats.test_pixels import png as deep_png

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = np.stack([ramp] * channels, -1)
    if kind in (4, 6):
        pixels[..., -1] = ramp[::-1]
    content = deep_png(kind, pixels if channels > 1 else ramp)
    content = content[:HEADER] + chunk(b"gAMA", (100_000).to_bytes(4, "big")) + content[HEADER:]
    picture = decoded(tmp_path, content, "PNG")
    found = np.asarray(picture.image).astype(float)
    assert abs(found[..., :3] - 255 * tones.encoded(ramp / 65535)[..., None]).max() < 0.6
    if kind in (4, 6):
        assert abs(found[..., 3] - ramp[::-1] / 257).max() <= 1


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_gray_profile_of_sixteen_bits(tmp_path, gamma, alpha):
    from formats.test_colour import gray_profile
    from formats.test_pixels import png as deep_png

    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    content = deep_png(4, np.stack([ramp, ramp[::-1]], -1)) if alpha else deep_png(0, ramp)
    profile = chunk(b"iCCP", b"gray\0\0" + zlib.compress(gray_profile(gamma)))
    picture = decoded(tmp_path, content[:HEADER] + profile + content[HEADER:], "PNG")
    found = np.asarray(picture.image).astype(float)
    assert abs(found[..., :3] - 255 * tones.encoded((ramp / 65535) ** gamma)[..., None]).max() < 0.6
    assert "its gray profile was applied" in picture.remarks


def test_a_png_without_its_palette_is_damaged(tmp_path):
    content = stored("PNG", scene().quantize(64))
    start, end = content.index(b"PLTE") - 4, content.index(b"IDAT") - 4
    with pytest.raises(PhotoError, match="palette"):
        decoded(tmp_path, content[:start] + content[end:], "PNG")


def test_a_damaged_packet_and_what_hides_in_chunks_of_the_picture_are_never_clean(tmp_path):
    packed = b"XML:com.adobe.xmp\0\1\0\0\0" + b"no zlib"
    for name, more, leak in (
        ("packed", chunk(b"iTXt", packed), "XMP unreadable"),
        ("long", chunk(b"bKGD", b"Ada Example, here"), "chunk 'bKGD'"),
    ):
        (tmp_path / name).write_bytes(with_chunks(more))
        assert leaks(tmp_path / name) == [leak]


def test_a_file_of_nothing_but_chunks_ends_the_walk():
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT") * 1_000_000
    with pytest.raises(Unfollowable):
        assert sum(1 for _ in png.chunks(content)) < 200_000
