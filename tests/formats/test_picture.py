from __future__ import annotations

import io
import os
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import scene
from formats.table import ROWS, stored
from PIL import Image, ImageCms, ImageOps

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import picture as codec
from ulecli.formats.colour import display_p3
from ulecli.formats.memory import Memory
from ulecli.formats.metadata import exif

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY = SRGB[:16] + b"GRAY" + SRGB[20:]


def save(image, path, format, **settings):
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        format = "HEIF"
    image.save(path, format, **settings)


def round_trip(path, format, target):
    picture = codec.decode(path, format)
    if picture.exif:
        picture.settings["exif"] = exif.upright(picture.exif)
    codec.encode(picture, picture.image, target)
    return picture, target


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_becomes_upright_once(tmp_path, format, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x0110] = "A Camera"
    path = tmp_path / "in"
    save(scene(), path, format, exif=tags.tobytes(), **({"lossless": True} if format == "WEBP" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    picture, target = round_trip(path, format, tmp_path / "out")
    assert picture.image.mode == "RGB"
    assert np.array_equal(np.asarray(picture.image), expected)
    with Image.open(target) as stored:
        assert stored.getexif().get(0x0112, 1) == 1
        assert stored.getexif()[0x0110] == "A Camera"
        assert stored.size == picture.image.size
        assert abs(np.asarray(stored.convert("RGB")).astype(int) - expected).mean() < 3
        assert stored.format == format.replace("HEIC", "HEIF")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_memory_of_a_jpeg_is_an_array(tmp_path, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    scene().save(tmp_path / "in", "JPEG", exif=tags.tobytes())
    expected = codec.decode(tmp_path / "in", "JPEG")
    memory = Memory()
    memory.room(200, 200)[:] = 99  # of an earlier picture
    picture = codec.decode(tmp_path / "in", "JPEG", memory=memory)
    assert expected.pixels is None and picture.pixels is not None and picture.image.mode == "RGBX"
    assert np.array_equal(picture.pixels[..., :3], np.asarray(expected.image))
    picture.pixels[3, 5] = 77  # seen by the image and by the encoder, without a copy
    assert picture.image.getpixel((5, 3))[:3] == (77, 77, 77)
    for one, made in (("shared", picture), ("plain", expected)):
        made.image.putpixel((5, 3), (77, 77, 77))
        codec.encode(made, made.image, tmp_path / one)
    assert (tmp_path / "shared").read_bytes() == (tmp_path / "plain").read_bytes()


def test_no_earlier_picture_shines_through(tmp_path):
    scene().save(tmp_path / "in", "JPEG")
    content = (tmp_path / "in").read_bytes()
    scan = content.index(b"\xff\xda")
    memory = Memory()
    for cut in (content[:scan] + b"\xff\xd9", content[: scan + 40], content[: len(content) // 2]):
        (tmp_path / "in").write_bytes(cut)
        with pytest.raises(PhotoError):
            codec.decode(tmp_path / "in", "JPEG", memory=memory)


def test_memory_is_kept_for_the_next_picture_unless_that_needs_far_less():
    memory = Memory()
    large = memory.room(400, 400)
    assert np.shares_memory(memory.room(300, 200), large)
    kept = weakref.ref(large.base)
    del large
    memory.room(100, 100)
    assert kept() is not None
    memory.room(99, 100)
    assert kept() is None


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_only_a_jpeg_in_colour_has_its_memory_shown(tmp_path, format):
    scene().save(tmp_path / "in", format)
    assert codec.decode(tmp_path / "in", format, memory=Memory()).pixels is None
    scene().convert("L").save(tmp_path / "gray", "JPEG")
    assert codec.decode(tmp_path / "gray", "JPEG", memory=Memory()).pixels is None


@pytest.mark.parametrize(
    ("mode", "profile", "kept"),
    [("RGB", SRGB, True), ("RGB", GRAY, False), ("L", GRAY, False), ("L", SRGB, False)],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_only_a_profile_for_rgb_is_kept(tmp_path, format, mode, profile, kept):
    scene().convert(mode).save(tmp_path / "in", format, icc_profile=profile)
    picture, target = round_trip(tmp_path / "in", format, tmp_path / "out")
    with Image.open(target) as stored:
        assert stored.mode == "RGB"
        assert stored.info.get("icc_profile") == (profile if kept else None)
    assert any("profile" in remark for remark in picture.remarks) is not kept


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "AVIF", "HEIC", "JPEG"])
def test_xmp_that_is_added_to_the_settings_is_stored(tmp_path, format):
    save(scene(), tmp_path / "in", format)
    picture = codec.decode(tmp_path / "in", format)
    assert picture.xmp == b""
    picture.settings["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    codec.encode(picture, picture.image, tmp_path / "out")
    again = codec.decode(tmp_path / "out", format)
    assert again.xmp == picture.settings["xmp"]
    assert "xmp" not in again.settings


@pytest.mark.parametrize(
    ("format", "settings"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_alpha_and_what_it_hides_are_kept(tmp_path, format, settings):
    image = scene()
    alpha = Image.fromarray(np.random.default_rng(0).integers(0, 3, (64, 96), dtype=np.uint8) * 127)
    image.putalpha(alpha)
    image.save(tmp_path / "in", format, **settings)
    picture, target = round_trip(tmp_path / "in", format, tmp_path / "out")
    assert np.array_equal(np.asarray(picture.image), np.asarray(image))
    assert np.array_equal(np.asarray(picture.image.getchannel("A")), np.asarray(alpha))
    with Image.open(target) as stored:
        assert np.array_equal(np.asarray(stored), np.asarray(image))
    assert np.array_equal(np.asarray(codec.read_rgb(target, format)), np.asarray(image))


@pytest.mark.parametrize(
    ("image", "alpha"),
    [
        (scene().convert("L"), False),
        (scene().convert("1"), False),
        (scene().quantize(64), False),
        (scene().convert("LA"), True),
    ],
    ids=["gray", "bilevel", "palette", "gray with alpha"],
)
def test_other_modes_become_rgb(tmp_path, image, alpha):
    image.save(tmp_path / "in", "PNG")
    picture, _ = round_trip(tmp_path / "in", "PNG", tmp_path / "out")
    assert np.array_equal(np.asarray(picture.image), np.asarray(image.convert("RGBA" if alpha else "RGB")))
    assert (picture.image.mode == "RGBA") is alpha


@pytest.mark.parametrize(
    "image", [scene().quantize(64), scene().convert("L"), scene()], ids=["P", "L", "RGB"]
)
def test_a_transparent_colour_becomes_alpha(tmp_path, image):
    transparent = image.getpixel((0, 0))
    image.save(tmp_path / "in", "PNG", transparency=transparent)
    picture = codec.decode(tmp_path / "in", "PNG")
    assert np.asarray(picture.image.getchannel("A"))[0, 0] == 0
    assert np.asarray(picture.image.getchannel("A")).max() == 255


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    wide = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "in", "PNG")
    picture = codec.decode(tmp_path / "in", "PNG")
    assert abs(np.asarray(picture.image)[..., 0] - wide / 257).max() <= 0.51
    assert any("16 bits" in remark for remark in picture.remarks)


def test_cmyk(tmp_path):
    scene().convert("CMYK").save(tmp_path / "in", "JPEG", quality=95, icc_profile=SRGB)
    picture, target = round_trip(tmp_path / "in", "JPEG", tmp_path / "out")
    assert abs(np.asarray(picture.image).astype(int) - np.asarray(scene())).mean() < 4
    with Image.open(target) as stored:
        assert stored.mode == "RGB" and "icc_profile" not in stored.info


@pytest.mark.parametrize("marks", ["jfif", "adobe", "none"])
@pytest.mark.parametrize("keep_rgb", [False, True])
def test_a_jpeg_is_read_as_what_it_holds(tmp_path, keep_rgb, marks):
    scene().save(tmp_path / "in", "JPEG", quality=95, subsampling=0, keep_rgb=keep_rgb)
    content = (tmp_path / "in").read_bytes()
    segment = content.find(b"\xff\xee" if keep_rgb else b"\xff\xe0")
    if marks == "none":
        size = int.from_bytes(content[segment + 2 : segment + 4], "big") + 2
        content = content[:segment] + content[segment + size :]
    elif marks == "adobe" and not keep_rgb:
        content = content[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1" + content[20:]
    (tmp_path / "in").write_bytes(content)
    with Image.open(tmp_path / "in") as stored:
        expected = np.asarray(stored).astype(int)
    picture, target = round_trip(tmp_path / "in", "JPEG", tmp_path / "out")
    assert np.array_equal(np.asarray(picture.image), expected)
    assert abs(np.asarray(codec.read_rgb(target, "JPEG")) - expected).mean() < 3


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_skipped(tmp_path, format):
    scene(seed=1).save(tmp_path / "in", format, save_all=True, append_images=[scene(seed=2)])
    with pytest.raises(PhotoSkipped, match="2 frames"):
        codec.decode(tmp_path / "in", format)


def test_the_first_picture_of_an_mpo_is_taken(tmp_path):
    scene(seed=1).save(tmp_path / "in", "MPO", save_all=True, append_images=[scene(seed=2)], quality=95)
    picture, target = round_trip(tmp_path / "in", "JPEG", tmp_path / "out")
    assert abs(np.asarray(picture.image.convert("RGB")).astype(int) - np.asarray(scene(seed=1))).mean() < 6
    assert "2 pictures" in picture.remarks[0]
    with Image.open(target) as stored:
        assert stored.format == "JPEG" and getattr(stored, "n_frames", 1) == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIC"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated(tmp_path, format, share):
    save(scene(), tmp_path / "whole", format)
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "in").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(PhotoError):
        codec.decode(tmp_path / "in", format)


def test_a_bomb_is_refused_by_its_header(tmp_path):
    scene(8, 8).save(tmp_path / "small", "PNG")
    content = bytearray((tmp_path / "small").read_bytes())
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(PhotoError, match="megapixels"):
        codec.decode(tmp_path / "in", "PNG")


def test_below_the_limit_no_other_limit_interferes(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    scene().save(tmp_path / "in", "JPEG")
    assert codec.decode(tmp_path / "in", "JPEG").image.size == scene().size


@pytest.mark.parametrize("quality", [30, 85, 98])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_stored_as_the_source_or_finer(tmp_path, quality, subsampling, progressive):
    scene().save(tmp_path / "in", "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    scene().save(tmp_path / "floor", "JPEG", quality=85)
    _, target = round_trip(tmp_path / "in", "JPEG", tmp_path / "out")
    with (
        Image.open(tmp_path / "in") as source,
        Image.open(target) as stored,
        Image.open(tmp_path / "floor") as at_85,
    ):
        expected = source if quality >= 85 else at_85
        assert stored.quantization == expected.quantization
        assert [layer[1:3] for layer in stored.layer] == [layer[1:3] for layer in source.layer]
        assert ("progressive" in stored.info) is progressive


@pytest.mark.parametrize("settings", [{"lossless": True}, {"quality": 60}])
def test_webp_stays_lossless_or_lossy(tmp_path, settings):
    scene().save(tmp_path / "in", "WEBP", icc_profile=SRGB, **settings)
    picture, target = round_trip(tmp_path / "in", "WEBP", tmp_path / "out")
    gap = abs(np.asarray(codec.read_rgb(target, "WEBP")).astype(int) - np.asarray(picture.image))
    assert bool(gap.max() == 0) is ("lossless" in settings)
    assert gap.mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_exif_does_not_stop_the_pixels(tmp_path):
    scene().save(tmp_path / "in", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0")
    picture = codec.decode(tmp_path / "in", "JPEG")
    codec.encode(picture, picture.image, tmp_path / "out")
    assert picture.remarks == ()
    with Image.open(tmp_path / "out") as stored:
        assert "exif" not in stored.info


@pytest.mark.parametrize("format", ROWS)
def test_a_file_that_is_longer_than_the_memory(tmp_path, format):
    resource = pytest.importorskip("resource")
    settings = {"progressive": True} if format == "JPEG" else {}
    (tmp_path / "in").write_bytes(stored(format, **settings))
    os.truncate(tmp_path / "in", 520 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if format in ("WEBP", "AVIF", "HEIC"):
        with pytest.raises(PhotoError, match="520 MiB"):
            codec.decode(tmp_path / "in", format)
    else:
        assert codec.decode(tmp_path / "in", format).image.size == scene().size
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB


@pytest.mark.parametrize("format", ROWS)
def test_any_photo_is_read_upright_in_srgb(tmp_path, format):
    tags = Image.Exif()
    tags[0x0112] = 6
    settings = {"icc_profile": display_p3(), "exif": tags.tobytes()} if ROWS[format].mark else {}
    (tmp_path / "in").write_bytes(stored(format, **settings))
    image = codec.read(tmp_path / "in")
    assert image.mode == "RGB" and image.size == (scene().size[::-1] if settings else scene().size)
    if settings:
        plain = codec.decode(tmp_path / "in", format).image
        oracle = ImageCms.profileToProfile(plain, io.BytesIO(display_p3()), ImageCms.createProfile("sRGB"), 1)
        assert abs(np.asarray(image).astype(int) - np.asarray(oracle)).max() <= 1
        assert abs(np.asarray(image).astype(int) - np.asarray(plain)).max() > 5


def test_what_is_no_photo_is_not_read(tmp_path):
    for content, word in ((b"", "no photo"), (b"GIF89a" + bytes(60), "GIF"), (b"x" * 80, "no photo")):
        (tmp_path / "in").write_bytes(content)
        with pytest.raises(PhotoError, match=word):
            codec.read(tmp_path / "in")
    (tmp_path / "in").write_bytes(stored("PNG"))
    with pytest.raises(PhotoError, match="limit"):
        codec.read(tmp_path / "in", max_pixels=10)


@pytest.mark.parametrize("format", ROWS)
def test_no_limit_of_the_library_applies_to_what_was_written(tmp_path, format, monkeypatch):
    (tmp_path / "in").write_bytes(stored(format))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    picture = codec.decode(tmp_path / "in", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    assert codec.read_rgb(tmp_path / "out", format).size == codec.read(tmp_path / "out").size == scene().size


def test_the_limit_of_the_library_is_back_when_the_last_thread_has_read(tmp_path):
    (tmp_path / "in").write_bytes(stored("WEBP"))
    before = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        assert len({image.size for image in pool.map(codec.read, [tmp_path / "in"] * 64)}) == 1
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.raises(PhotoError):
        codec.read(tmp_path / "in", max_pixels=1)
    assert before == Image.MAX_IMAGE_PIXELS
