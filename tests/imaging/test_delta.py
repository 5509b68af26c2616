from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ulecli.imaging.delta import _add, _moves, add_delta, working_image
from ulecli.imaging.difference import Difference, difference, set_aside


def naive(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(np.int16) + shifts, 0, 255).astype(np.uint8)


def test_the_sum_in_uint8_is_the_sum_clipped():
    pixels, shifts = np.meshgrid(np.arange(256), np.arange(-127, 128), indexing="ij")
    total = np.repeat(pixels.astype(np.uint8)[..., None], 4, axis=2)
    _add(total, _moves([(shifts + 128).astype(np.uint8)]), 1)
    assert np.array_equal(total[..., :3], np.repeat(naive(pixels, shifts)[..., None], 3, axis=2))
    assert np.array_equal(total[..., 3], pixels), "the fourth byte was touched"


pictures = st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(
    lambda size: arrays(
        np.uint8, (*size, 3), elements=st.integers(0, 255), fill=st.sampled_from([0, 3, 128, 255])
    )
)


@settings(max_examples=60, deadline=None)
@given(pictures, st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 32), st.integers(0, 99))
def test_no_channel_moves_further_than_epsilon(pixels, channels, cells, epsilon, seed):
    delta = (
        np.random.default_rng(seed).integers(-epsilon, epsilon + 1, (channels, cells, cells)).astype(np.int8)
    )
    image = Image.fromarray(pixels)
    found = add_delta(image, delta)
    change = np.asarray(image).astype(int) - pixels
    assert abs(change).max() <= found.max_change <= epsilon
    assert psnr(change) >= found.psnr_db - 1e-4
    if channels == 1:  # tied across RGB wherever nothing saturates
        free = ((pixels >= epsilon) & (pixels <= 255 - epsilon)).all(axis=2)
        assert (np.ptp(change[free], axis=1) == 0).all() if free.any() else True


@settings(max_examples=30, deadline=None)
@given(pictures, st.integers(1, 32))
def test_both_sides_survive_into_the_stored_picture(pixels, epsilon):
    for sign in (-1, 1):
        image = Image.fromarray(pixels)
        delta = np.full((1, 4, 4), sign * epsilon, np.int8)
        add_delta(image, delta)
        assert np.array_equal(np.asarray(image), naive(pixels, delta[0, 0, 0]))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 1300)),
    st.sampled_from([1, 3]),
    st.integers(1, 9),
    st.integers(1, 32),
    st.integers(0, 99),
)
def test_what_is_told_is_what_a_picture_without_black_and_white_moves(size, channels, cells, epsilon, seed):
    rng = np.random.default_rng(seed)
    delta = rng.integers(-epsilon, epsilon + 1, (channels, cells, cells)).astype(np.int8)
    pixels = rng.integers(32, 224, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    found = add_delta(image, delta)
    change = np.asarray(image).astype(int) - pixels
    assert abs(change).max() == found.max_change
    assert found.psnr_db == pytest.approx(psnr(change))


@settings(max_examples=60, deadline=None)
@given(pictures, st.sampled_from([1, 3]), st.integers(1, 9), st.integers(0, 99))
def test_a_picture_on_an_array_is_changed_in_it(pixels, channels, cells, seed):
    delta = np.random.default_rng(seed).integers(-8, 9, (channels, cells, cells)).astype(np.int8)
    copied = Image.fromarray(pixels)
    memory = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    image = Image.frombuffer("RGBX", copied.size, memory, "raw", "RGBX", 0, 1)
    assert np.array_equal(working_image(image, 8, memory), working_image(copied, 8))
    assert add_delta(image, delta, memory) == add_delta(copied, delta)
    assert np.array_equal(memory[..., :3], np.asarray(copied))
    assert np.array_equal(np.asarray(image)[..., :3], np.asarray(copied))
    assert (memory[..., 3] == 255).all()


def test_a_working_image_of_some_rows_is_near_that_of_all():
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).resize((1200, 3001))
    memory = np.dstack([np.asarray(rough), np.full((3001, 1200), 255, np.uint8)])
    image = Image.frombuffer("RGBX", rough.size, memory, "raw", "RGBX", 0, 1)
    apart = abs(working_image(image, 64, memory) - working_image(rough, 64))
    assert 0 < apart.mean() < 2 / 255 and apart.max() < 16 / 255


def psnr(change: np.ndarray) -> float:
    square = (change.astype(float) ** 2).mean()
    return 10 * math.log10(255**2 / square) if square else math.inf


@pytest.mark.parametrize("size", [(64, 64), (65, 63), (1, 300), (2000, 7), (40, 1111), (300, 2600)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("cells", "off"), [(16, 2), (128, 3)])
def test_a_large_picture_gets_the_stretched_delta(size, channels, cells, off):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    delta = rng.integers(-8, 9, (channels, cells, cells)).astype(np.int8)
    image = Image.fromarray(pixels)
    add_delta(image, delta)
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        for plane in np.broadcast_to(delta, (3, cells, cells))
    ]
    expected = np.clip(pixels + np.stack(planes, -1), 0, 255)
    # A cell of the finer one is interpolated in at least 4 steps, so 16 levels from one cell to the next are
    # off by 2 at most, and rounding twice by one more.
    assert abs(np.asarray(image) - expected).max() <= off
    assert abs(np.asarray(image) - expected).mean() < 0.6


def test_hidden_colours_are_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    opacity = np.zeros((50, 60), np.uint8)
    opacity[10:30, 20:] = 1
    image = Image.fromarray(np.dstack([pixels, opacity]))
    add_delta(image, np.full((1, 4, 4), -5, np.int8))
    expected = np.where(opacity[..., None] == 0, pixels, naive(pixels, np.int16(-5)))
    assert np.array_equal(np.asarray(image)[..., :3], expected)
    assert np.array_equal(np.asarray(image)[..., 3], opacity)


@pytest.mark.parametrize("size", [(8, 8), (300, 200), (1, 500), (3000, 2)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX"])
def test_working_image(size, mode):
    small = working_image(Image.new("RGB", size, (255, 0, 51)).convert(mode), 16)
    assert small.shape == (3, 16, 16) and small.dtype == np.float32
    assert np.allclose(small.mean(axis=(1, 2)), [1, 0, 0.2])


def test_difference():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    found = difference(Image.fromarray(one), Image.fromarray(other))
    gap = one.astype(float) - other
    assert found.max_change == abs(gap).max()
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / (gap**2).mean()))
    assert difference(Image.fromarray(one), Image.fromarray(one)).psnr_db == math.inf


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(40, 30), (2000, 300)])
def test_a_picture_that_is_set_aside_is_compared_like_any(tmp_path, mode, size):
    rng = np.random.default_rng(0)
    shape = (size[1], size[0], len(mode))
    one, other = (Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(2))
    with set_aside(one, tmp_path) as file:
        assert difference(file, other) == difference(one, other)
    assert difference(one, other) == difference(one.convert("RGB"), other.convert("RGB"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_opacity_is_neither_changed_nor_looked_at(channels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, (50, 60, 4), dtype=np.uint8)
    delta = rng.integers(-8, 9, (channels, 8, 8)).astype(np.int8)
    image, opaque = Image.fromarray(pixels), Image.fromarray(pixels[..., :3])
    assert np.array_equal(working_image(image, 16), working_image(opaque, 16))
    assert add_delta(image, delta) == add_delta(opaque, delta)
    assert np.array_equal(np.asarray(image)[..., :3], np.asarray(opaque))
    assert np.array_equal(np.asarray(image)[..., 3], pixels[..., 3])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "pixels"])
def test_where_nothing_can_change_no_change_is_reported(mode):
    up = np.full((1, 16, 16), 5, np.int8)
    if mode == "RGBA":
        image = Image.new("RGBA", (300, 2000), (9, 9, 9, 0))
        assert add_delta(image, up) == Difference(0, math.inf)
        image.putpixel((299, 1999), (9, 9, 9, 255))
        assert add_delta(image, up).max_change == 5 and image.getpixel((299, 1999)) == (14, 14, 14, 255)
        return
    pixels = np.full((2000, 300, 4), 255, np.uint8)
    shown = pixels if mode == "pixels" else None

    def added() -> Difference:
        image = Image.fromarray(pixels[..., :3])
        return add_delta(image, up, shown)

    assert added() == Difference(0, math.inf) and (pixels == 255).all()
    pixels[-1, -1, 1] = 254
    assert added().max_change == 5
