"""Files that would be misread, or take all memory: left alone with a reason."""

from __future__ import annotations

import io
import os
import struct

import pytest
from conftest import scene
from PIL import TiffImagePlugin

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import picture as codec

resource = pytest.importorskip("resource")


def sub_directory(photometric: int) -> bytes:
    """A TIFF whose further directory holds pixels of another kind, as that of a camera's raw file."""
    file = io.BytesIO()
    scene().save(file, "TIFF", tiffinfo={330: 0})
    content = bytearray(file.getvalue())
    first = struct.unpack_from("<L", content, 4)[0]
    (count,) = struct.unpack_from("<H", content, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, place) == (330,):
            struct.pack_into("<HLL", content, place + 2, 4, 1, len(content))
    return bytes(content) + struct.pack("<HHHLHHL", 1, 262, 3, 1, photometric, 0, 0)


@pytest.mark.parametrize(("photometric", "taken"), [(32803, False), (34892, False), (2, True)])
def test_a_raw_file_is_told_by_any_directory(tmp_path, photometric, taken):
    (tmp_path / "in").write_bytes(sub_directory(photometric))
    if taken:
        assert codec.decode(tmp_path / "in", "TIFF").image.size == scene().size
        return
    with pytest.raises(PhotoSkipped, match="raw"):
        codec.decode(tmp_path / "in", "TIFF")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({258: (16, 16, 16), 284: 2}, "one after the other"),
        ({339: (2, 2, 2)}, "8-bit signed"),
        ({339: (3, 3, 3), 258: (32, 32, 32)}, "32-bit float"),
        ({258: (32, 32, 32)}, "32-bit pixels"),
        ({259: 34712}, "compression 34712"),
        ({262: 6, 530: (2, 2)}, "YCbCr"),
        ({262: 9}, "unknown pixel mode"),
    ],
)
def test_tiffs_that_would_be_misread_are_left_alone(tmp_path, tags, reason):
    ours = {256: 40, 257: 30, 258: (8, 8, 8), 259: 1, 262: 2, 273: 8, 277: 3, 278: 30, 279: 3600} | tags
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in ours.items():
        directory[tag] = value
    with (tmp_path / "in").open("wb") as file:
        file.write(b"II*\0" + struct.pack("<L", 8 + 40 * 30 * 12) + bytes(40 * 30 * 12))
        file.write(directory.tobytes(file.tell()))
    with pytest.raises(PhotoSkipped, match=reason):
        codec.decode(tmp_path / "in", "TIFF")


def test_a_png_without_its_palette_is_damaged(tmp_path):
    scene().quantize(64).save(tmp_path / "in", "PNG")
    content = (tmp_path / "in").read_bytes()
    start, end = content.index(b"PLTE") - 4, content.index(b"IDAT") - 4
    (tmp_path / "in").write_bytes(content[:start] + content[end:])
    with pytest.raises(PhotoError, match="palette"):
        codec.decode(tmp_path / "in", "PNG")


def test_a_bmp_with_a_profile_and_an_avif_that_shows_a_part_are_left_alone(tmp_path):
    scene().save(tmp_path / "in", "BMP")
    content = (tmp_path / "in").read_bytes()
    header = struct.pack("<L", 124) + content[18:54] + bytes(16) + b"DEBM" + bytes(64)
    (tmp_path / "in").write_bytes(content[:10] + struct.pack("<L", 14 + 124) + header + content[54:])
    with pytest.raises(PhotoSkipped, match="profile"):
        codec.decode(tmp_path / "in", "BMP")
    scene().save(tmp_path / "in", "AVIF")
    content = (tmp_path / "in").read_bytes()
    (tmp_path / "in").write_bytes(content + b"\0\0\0\x28clap" + bytes(32))
    with pytest.raises(PhotoSkipped, match="clap"):
        codec.decode(tmp_path / "in", "AVIF")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF", "HEIC"])
def test_a_file_that_is_longer_than_the_memory(tmp_path, format):
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    settings = {"progressive": True} if format == "JPEG" else {}
    scene().save(tmp_path / "in", {"HEIC": "HEIF"}.get(format, format), **settings)
    os.truncate(tmp_path / "in", 520 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if format in ("WEBP", "AVIF", "HEIC"):
        with pytest.raises(PhotoError, match="520 MiB"):
            codec.decode(tmp_path / "in", format)
    else:
        assert codec.decode(tmp_path / "in", format).image.size == scene().size
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB
