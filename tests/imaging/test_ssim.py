from __future__ import annotations

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.imaging.ssim import ssim, ssim_map


def noisy(image: Image.Image, strength: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = np.asarray(image).astype(int)
    return Image.fromarray(
        (pixels + rng.integers(-strength, strength + 1, pixels.shape)).clip(0, 255).astype(np.uint8)
    )


def naive(one: np.ndarray, other: np.ndarray) -> float:
    """Wang et al. (2004), equation 13, window by window in float64."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(one.shape[0] - 10):
        for left in range(one.shape[1] - 10):
            x, y = (plane[top : top + 11, left : left + 11].astype(float) for plane in (one, other))
            a, b = (window * x).sum(), (window * y).sum()
            v, w = (window * (x - a) ** 2).sum(), (window * (y - b) ** 2).sum()
            c = (window * (x - a) * (y - b)).sum()
            first, second = 2.55**2, 7.65**2
            values.append(
                (2 * a * b + first) * (2 * c + second) / ((a * a + b * b + first) * (v + w + second))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("size", [(11, 11), (40, 23)])
@pytest.mark.parametrize("strength", [2, 60])
def test_against_the_formula(size, strength):
    one = scene(*size).convert("L")
    other = noisy(one, strength)
    assert ssim(one, other) == pytest.approx(naive(np.asarray(one), np.asarray(other)), abs=1e-5)


@pytest.mark.parametrize("size", [(64, 48), (601, 1203)])  # the latter in several bands
def test_against_scikit_image(size):
    metrics = pytest.importorskip("skimage.metrics")
    one = scene(*size).convert("L")
    other = noisy(one, 8)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = metrics.structural_similarity(np.asarray(one), np.asarray(other), **settings)
    assert ssim(one, other) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (96, 64)])
def test_the_same_is_one_and_less_alike_is_less(size):
    one = scene(*size)
    assert ssim(one, one) == pytest.approx(1.0, abs=1e-6)
    assert ssim(one, noisy(one, 4)) > ssim(one, noisy(one, 60))


@pytest.mark.parametrize("size", [(1, 1), (8, 30), (40, 23)])
def test_the_map_has_a_value_for_each_pixel_and_those_of_the_mean(size):
    one = scene(*size)
    other = noisy(one, 30)
    similar = ssim_map(one, other)
    assert similar.shape == size[::-1] and similar.max() <= 1 + 1e-6
    if min(size) > 10:
        assert similar[5:-5, 5:-5].mean() == pytest.approx(ssim(one, other), abs=1e-5)
