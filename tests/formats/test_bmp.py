from __future__ import annotations

import struct

import numpy as np
import pytest
from conftest import scene
from formats.table import decoded, rewritten, stored
from PIL import Image

from ulecli.errors import PhotoSkipped
from ulecli.formats.audit import leaks
from ulecli.formats.picture import read_rgb


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_the_encoder_writes_is_clean(tmp_path, mode):
    image = scene().convert(mode)
    picture = decoded(tmp_path, stored("BMP", image), "BMP")
    assert leaks(tmp_path / "in") == []
    assert rewritten(tmp_path, picture)[:2] == b"BM"
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "out", "BMP")), np.asarray(image.convert("RGB")))
    assert leaks(tmp_path / "out") == []


@pytest.mark.parametrize(("alpha", "taken"), [(0, True), (255, True), (128, False), (None, False)])
def test_only_a_bmp_with_real_transparency_is_left_alone(tmp_path, alpha, taken):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    if alpha is not None:
        pixels[..., 3] = alpha
    masks = struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<LllHHLLllLL", 56, 5, 6, 1, 32, 3, pixels.size, 0, 0, 0, 0) + masks
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    content = b"BM" + struct.pack("<LLL", 70 + len(body), 0, 70) + head + body
    if not taken:
        with pytest.raises(PhotoSkipped, match="transparency"):
            decoded(tmp_path, content, "BMP")
        return
    assert np.array_equal(np.asarray(decoded(tmp_path, content, "BMP").image), pixels[..., :3])
    assert leaks(tmp_path / "in") == []


def test_what_lies_before_or_behind_the_pixels_is_named(tmp_path):
    content = stored("BMP")
    (tmp_path / "behind").write_bytes(content + b"Ada")
    assert leaks(tmp_path / "behind") == ["3 bytes behind the picture"]
    moved = content[:10] + struct.pack("<L", 54 + 8) + content[14:54] + b"\0\0by Ada" + content[54:]
    (tmp_path / "before").write_bytes(moved)
    assert leaks(tmp_path / "before") == ["bytes before the pixels"]
    with Image.open(tmp_path / "before") as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(scene()))


@pytest.mark.parametrize("kind", [b"DEBM", b"KNIL"])
def test_a_bmp_with_a_profile_is_left_alone(tmp_path, kind):
    content = stored("BMP")
    header = struct.pack("<L", 124) + content[18:54] + bytes(16) + kind + bytes(64)
    content = content[:10] + struct.pack("<L", 14 + 124) + header + content[54:]
    with pytest.raises(PhotoSkipped, match="profile"):
        decoded(tmp_path, content, "BMP")
    assert "colour profile" in leaks(tmp_path / "in")


@pytest.mark.parametrize("length", [20, 30, 60, 1000])
def test_a_file_that_is_cut_short_is_never_clean(tmp_path, length):
    (tmp_path / "x").write_bytes(stored("BMP")[:length])
    assert "can't be followed" in leaks(tmp_path / "x")[-1]


def test_what_lies_behind_a_bmp_of_os2_is_named(tmp_path):
    body = bytes(8 * 2)
    content = (
        b"BM" + struct.pack("<LLL", 26 + len(body), 0, 26) + struct.pack("<LHHHH", 12, 2, 2, 1, 24) + body
    )
    (tmp_path / "clean").write_bytes(content)
    assert leaks(tmp_path / "clean") == []
    (tmp_path / "behind").write_bytes(content + b"Ada")
    assert leaks(tmp_path / "behind") == ["3 bytes behind the picture"]
