from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ulecli.imaging.delta import add_delta
from ulecli.imaging.texture import CELLS, FLOOR, FULL, SMOOTH, contrast, masked, texture_weights

TEXELS = 2 * CELLS


def half_noise(deviation: float = 40, side: int = TEXELS) -> Image.Image:
    """A smooth upper half and a lower half of texels of noise."""
    pixels = np.full((side, side), 128.0)
    pixels[side // 2 :] += np.random.default_rng(0).normal(0, deviation, (side // 2, side))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB")


def naive_contrast(luma: np.ndarray) -> np.ndarray:
    """The same with a loop over windows, for one texel per pixel."""
    found = np.full((CELLS, CELLS), np.inf)
    for top in range(CELLS - 3):
        for left in range(CELLS - 3):
            spread = luma[2 * top : 2 * top + 8, 2 * left : 2 * left + 8].std()
            cells = found[top : top + 4, left : left + 4]
            np.minimum(cells, spread, out=cells)
    return found


def test_contrast_is_the_least_deviation_of_the_windows_around():
    pixels = np.random.default_rng(1).integers(0, 256, (TEXELS, TEXELS), np.uint8)
    pixels[:90, :70] //= 40
    found = contrast(Image.fromarray(pixels).convert("RGB"))
    assert found == pytest.approx(naive_contrast(pixels.astype(float)), abs=0.02)


def test_weights_rise_from_the_floor_to_one():
    image = half_noise(4)
    rise = (contrast(image) - SMOOTH) / (FULL - SMOOTH)
    assert texture_weights(image) == pytest.approx(FLOOR + (1 - FLOOR) * rise.clip(0, 1))
    assert 0 < rise.max() < 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX"])
@pytest.mark.parametrize("side", [TEXELS, 1000])
def test_a_smooth_part_is_spared_up_to_its_edge(mode, side):
    weights = texture_weights(half_noise(60).resize((side, side), Image.Resampling.NEAREST).convert(mode))
    edge = CELLS // 2
    assert (weights[: edge - 1] == np.float32(FLOOR)).all()
    assert (weights[edge + 1 :] == 1).all()


def test_grain_is_no_texture():
    pixels = np.random.default_rng(0).normal(30, 1.5, (1024, 1024)).clip(0, 255).astype(np.uint8)
    assert texture_weights(Image.fromarray(pixels).convert("RGB")).max() == np.float32(FLOOR)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 2)])
def test_the_least_pictures_have_weights(size):
    image = Image.new("RGB", size, (9, 200, 90))
    weights = texture_weights(image)
    assert weights.shape == (CELLS, CELLS) and (weights == np.float32(FLOOR)).all()
    delta = masked(np.full((1, 4, 4), 8, np.int8), weights)
    assert add_delta(image, delta).max_change == round(8 * FLOOR)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.sampled_from([1, 3]), st.integers(1, 127), st.integers(0, 99))
def test_a_masked_delta_keeps_the_bound_and_no_sign_turns(side, channels, epsilon, seed):
    rng = np.random.default_rng(seed)
    delta = rng.choice([-epsilon, epsilon], (channels, side, side)).astype(np.int8)
    weights = rng.random((CELLS, CELLS), np.float32)
    found = masked(delta, weights)
    whole = masked(delta, np.ones_like(weights))
    assert found.shape == (channels, CELLS, CELLS) and found.dtype == np.int8
    assert abs(whole).max() <= epsilon
    assert (found.astype(int) * whole >= 0).all()
    assert (abs(found.astype(int)) <= abs(whole.astype(int)) * weights + 1).all()


def test_masked_interpolates_multiplies_and_rounds():
    delta = np.array([[[-8, 8]]], np.int8).repeat(2, axis=1)
    weights = np.full((CELLS, CELLS), 0.5, np.float32)
    at = np.clip((np.arange(CELLS) + 0.5) * 2 / CELLS - 0.5, 0, 1)  # between the middles of the two cells
    assert (masked(delta, weights)[0] == np.rint((-8 + 16 * at) / 2)).all()
