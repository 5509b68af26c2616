from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ulecli.imaging.delta import add_delta
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import (
    AMPLITUDES,
    CELLS,
    FLOOR,
    FULL,
    SMOOTH,
    amplitudes,
    contrast,
    texture_weights,
)

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
    bounds = amplitudes(image, 4, Strength.STRONG, 8)
    assert bounds.shape == (1, 4, 4)
    moved = np.rint(bounds).astype(np.int8)
    assert add_delta(image, moved).max_change == round(AMPLITUDES[Strength.STRONG] * FLOOR)


def test_other_grids_of_parts_measure_the_same_texture():
    image = half_noise(60).resize((700, 500), Image.Resampling.NEAREST)
    for cells in (32, 64, 100):
        weights = texture_weights(image, cells)
        assert weights.shape == (cells, cells)
        assert (weights[: cells // 2 - 1] == np.float32(FLOOR)).all() and weights[
            cells // 2 + 1 :
        ].min() > 0.9


@pytest.mark.parametrize("strength", Strength)
def test_amplitudes_are_weights_of_the_strength(strength):
    image = half_noise(6)
    found = amplitudes(image, CELLS, strength, 127)
    assert found.shape == (1, CELLS, CELLS) and found.dtype == np.float32
    assert found[0] == pytest.approx(texture_weights(image) * AMPLITUDES[strength])
    rough, even = amplitudes(half_noise(60), CELLS, strength, 127)[0, -1], found[0, 0]
    assert (rough == np.float32(AMPLITUDES[strength])).all()
    assert (even == np.float32(AMPLITUDES[strength] * FLOOR)).all()


def test_strengths_are_told_faint_first():
    assert [AMPLITUDES[strength] for strength in Strength] == sorted(AMPLITUDES.values())
    assert set(AMPLITUDES) == set(Strength) and len(set(AMPLITUDES.values())) == len(AMPLITUDES)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 32), st.sampled_from(Strength), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99)
)
def test_amplitudes_keep_to_epsilon_and_are_above_0(epsilon, strength, width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    found = amplitudes(Image.fromarray(pixels), 16, strength, epsilon)
    assert found.shape == (1, 16, 16)
    assert found.min() > 0 and found.max() <= min(epsilon, AMPLITUDES[strength])
    assert found.min() >= min(epsilon, AMPLITUDES[strength] * FLOOR)
