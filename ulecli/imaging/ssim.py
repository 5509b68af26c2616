"""Structural similarity: how alike two pictures look, from 1 (the same) downwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.units import LEVELS

_RADIUS = 5
_SIGMA = 1.5
_STABLE = ((0.01 * LEVELS) ** 2, (0.03 * LEVELS) ** 2)
_BAND_PIXELS = 1 << 18

Plane = NDArray[np.float32]


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the mean structural similarity of the luma of two pictures of one size.

    Wang et al., 'Image Quality Assessment: From Error Visibility to Structural Similarity' (2004): Gaussian
    window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, wherever the window fits. Of a picture
    that is smaller than the window, edge pixels are repeated.

    Args:
        one: Any mode that has a luma; levels.
        other: As `one`.
    """
    luma, others = one.convert("L"), other.convert("L")
    width, height = luma.size
    if min(width, height) <= 2 * _RADIUS:
        luma, others = _padded(luma), _padded(others)
        width, height = luma.size
    total, rows = 0.0, max(1, _BAND_PIXELS // width)
    for top in range(0, height - 2 * _RADIUS, rows):
        box = (0, top, width, min(top + rows + 2 * _RADIUS, height))
        total += float(_similarity(luma.crop(box), others.crop(box)).sum(dtype=np.float64))
    return total / ((width - 2 * _RADIUS) * (height - 2 * _RADIUS))


def ssim_map(one: Image.Image, other: Image.Image) -> Plane:
    """Return the structural similarity of two pictures around each of their pixels, as `ssim` defines it.

    Args:
        one: Any mode that has a luma; levels.
        other: As `one`, and of its size.

    Returns:
        (H, W) float32, at most 1. Beyond the edges, edge pixels are repeated.
    """
    return _similarity(_padded(one.convert("L")), _padded(other.convert("L")))


def _padded(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.pad(np.asarray(image), _RADIUS, mode="edge"))


def _similarity(luma: Image.Image, others: Image.Image) -> Plane:
    """Return the similarity of two pictures of mode L at all places of the window."""
    one, other = (np.asarray(picture, np.float32) for picture in (luma, others))
    mean, means = _blurred(one), _blurred(other)
    product = mean * means
    squares = mean * mean + means * means
    covariance = _blurred(one * other) - product
    variances = _blurred(one * one + other * other) - squares
    first, second = (np.float32(value) for value in _STABLE)
    alike = (2 * product + first) * (2 * covariance + second)
    alike /= (squares + first) * (variances + second)
    return np.asarray(alike, np.float32)


def _blurred(plane: Plane) -> Plane:
    """Return the Gaussian mean around every pixel that has `_RADIUS` neighbours on each side."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for _ in range(2):
        length = len(plane) - 2 * _RADIUS
        total = weights[_RADIUS] * plane[_RADIUS : _RADIUS + length]
        for step in range(_RADIUS):  # the window is symmetric: one product does for two rows
            far = 2 * _RADIUS - step
            total += weights[step] * (plane[step : step + length] + plane[far : far + length])
        plane = np.ascontiguousarray(total.T)
    return plane
