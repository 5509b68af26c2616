"""The oracle is exiftool, which rewrites what lies beside the pixels, and Pillow, which decodes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.formats.image_data import image_data_sha256

SAVED = {
    "JPEG": {"quality": 92},
    "PNG": {},
    "WEBP": {"quality": 90},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 80},
}
EXIFTOOL = shutil.which("exiftool")


def saved(folder: Path, format: str, seed: int = 1, **more: object) -> Path:
    path = folder / f"{seed}.{format.lower()}"
    scene(160, 120, seed).save(path, format, **{**SAVED[format], **more})
    return path


def with_pillows_heic(folder: Path, seed: int) -> Path:
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = folder / f"{seed}.heic"
    scene(160, 120, seed).save(path, quality=90)
    return path


@pytest.mark.skipif(not EXIFTOOL, reason="exiftool is not installed")
@pytest.mark.parametrize("format", [*SAVED, "progressive", "tiles", "HEIC"])
def test_what_exiftool_writes_changes_nothing(tmp_path, format):
    if format == "HEIC":
        path, other = with_pillows_heic(tmp_path, 1), with_pillows_heic(tmp_path, 2)
    elif format == "progressive":
        format = "JPEG"
        path, other = saved(tmp_path, "JPEG", progressive=True), saved(tmp_path, "JPEG", 2)
    elif format == "tiles":
        format = "TIFF"
        path = saved(tmp_path, "TIFF", compression=None, tile=(64, 64))
        other = saved(tmp_path, "TIFF", 2, compression=None)
    else:
        path, other = saved(tmp_path, format), saved(tmp_path, format, 2)
    with Image.open(path) as image:
        before_pixels = np.asarray(image)
    before, content = image_data_sha256(path, format), path.read_bytes()
    steps = (
        ["-Artist=A person", "-XMP:Rating=5", "-GPSLatitude=48.1", "-Orientation#=1"],
        ["-XMP:Description=" + "long " * 5000],
        ["-all="],
    )
    for step in steps:
        subprocess.run([EXIFTOOL, "-q", "-overwrite_original", *step, path], check=True, capture_output=True)
        assert path.read_bytes() != content
        content = path.read_bytes()
        with Image.open(path) as image:
            assert (np.asarray(image) == before_pixels).all()
        assert image_data_sha256(path, format) == before is not None
    assert image_data_sha256(other, format) not in (None, before)


@pytest.mark.parametrize("format", SAVED)
def test_other_pixels_have_another_hash(tmp_path, format):
    path = saved(tmp_path, format)
    before = image_data_sha256(path, format)
    with Image.open(path) as image:
        picture = image.convert("RGB")
    box = picture.crop((0, 0, 16, 16)).point(lambda level: 255 - level)
    picture.paste(box, (0, 0))
    picture.save(path, format, **SAVED[format])
    assert image_data_sha256(path, format) not in (None, before)


@pytest.mark.parametrize("format", [*SAVED, "BMP"])
def test_what_can_not_be_followed_has_no_hash_or_another(tmp_path, format):
    path = saved(tmp_path, format) if format in SAVED else tmp_path / "x.bmp"
    if format == "BMP":
        scene().save(path)
    whole, content = image_data_sha256(path, format), path.read_bytes()
    for cut in (0, 1, 3, 12, 40, 100, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:cut])
        assert whole != image_data_sha256(path, format)
    rng = np.random.default_rng(0)
    for _ in range(300):
        odd = bytearray(content)
        for place in rng.integers(0, min(len(odd), 600), 8):
            odd[place] = rng.integers(0, 256)
        path.write_bytes(odd)
        image_data_sha256(path, format)  # whatever it says, it neither raises nor hangs
    path.write_bytes(bytes(reversed(content)))
    assert whole != image_data_sha256(path, format)
    assert image_data_sha256(path, "GIF") is None


def test_a_jpeg_with_fill_bytes_and_a_trailer(tmp_path):
    path = saved(tmp_path, "JPEG")
    before, content = image_data_sha256(path, "JPEG"), path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xff\xfe\x00\x08filled" + b"\xff" + content[2:] + b"a trailer")
    with Image.open(path) as image:
        assert image.size == (160, 120)
    assert image_data_sha256(path, "JPEG") == before
