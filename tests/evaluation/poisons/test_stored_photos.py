from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.errors import UleError
from ulecli.evaluation.poisons.photo_noise import random_signs
from ulecli.evaluation.poisons.stored_photos import generator, store_with


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tif", "bmp", "avif"])
def test_a_photo_is_stored_in_its_own_format(format: str, tmp_path) -> None:
    path = tmp_path / f"photo.{format}"
    scene(120, 90).save(path, **({"quality": 97, "subsampling": "4:4:4"} if format == "jpg" else {}))
    stored = store_with(path, random_signs("x", 16, 8), tmp_path / "noisy")
    with Image.open(path) as before, Image.open(stored) as after:
        assert (after.format, after.size) == (before.format, before.size)
        change = np.asarray(after.convert("RGB")).astype(int) - np.asarray(before.convert("RGB"))
        if format == "jpg":
            assert after.quantization == before.quantization and after.layer == before.layer
    assert 2 < np.abs(change).mean() < 8  # interpolated between cells: less than the bound
    if format in ("png", "tif", "bmp"):
        assert np.abs(change).max() <= 8 and np.ptp(change, axis=2).max() <= 8


def test_a_coarse_jpeg_is_stored_as_finely_as_protect_would(tmp_path) -> None:
    scene(120, 90).save(tmp_path / "coarse.jpg", quality=40)
    stored = store_with(tmp_path / "coarse.jpg", random_signs("x", 16, 8), tmp_path / "noisy")
    usual = BytesIO()
    scene(120, 90).save(usual, "JPEG", quality=85)
    with Image.open(stored) as after, Image.open(usual) as expected:
        assert after.quantization == expected.quantization


def test_what_can_not_be_stored_is_one_line(tmp_path) -> None:
    scene(20, 20).save(tmp_path / "photo.gif")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    signs = random_signs("x", 16, 8)
    for name in ("photo.gif", "cut.jpg", "nowhere.png"):
        with pytest.raises(UleError, match=rf"noise can't be put on .*{name}") as caught:
            store_with(tmp_path / name, signs, tmp_path / "noisy")
        assert caught.value.exit_code == 1


def test_a_delta_of_any_shape_is_added(tmp_path) -> None:
    scene(120, 90).save(tmp_path / "photo.png")
    delta = np.random.default_rng(0).integers(-5, 6, (1, 90, 120), np.int8)
    stored = store_with(tmp_path / "photo.png", delta, tmp_path / "noisy")
    with Image.open(tmp_path / "photo.png") as before, Image.open(stored) as after:
        expected = np.clip(np.asarray(before, int) + delta[0, :, :, None], 0, 255)
        assert np.array_equal(np.asarray(after.convert("RGB")), expected)


def test_a_name_decides_random_numbers() -> None:
    assert generator("é\udcff").random() == generator("é\udcff").random() != generator("a").random()
