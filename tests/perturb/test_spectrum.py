from __future__ import annotations

import numpy as np
import pytest
import torch

from ulecli.errors import UsageError
from ulecli.perturb.spectrum import block_dct, jpeg_weights
from ulecli.transforms.jpeg_dct import jpeg_dct, quantisation_tables


def wave(row: int, column: int) -> np.ndarray:
    """Return a frequency of JPEG's blocks by its definition in T.81, (16, 16), of length 1 in each block."""
    place = (2 * np.arange(8) + 1) * np.pi / 16
    scale = [0.5 * (0.5**0.5 if not number else 1) for number in (row, column)]
    return np.tile(np.outer(scale[0] * np.cos(place * row), scale[1] * np.cos(place * column)), (2, 2))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (3, 2), (7, 7)])
def test_each_frequency_of_each_block_has_its_place(row: int, column: int) -> None:
    basis = block_dct(16)
    found = basis @ wave(row, column) @ basis.T
    expected = np.zeros((16, 16))
    expected[row::8, column::8] = 1
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(16), atol=1e-6)


@pytest.mark.parametrize("quality", [1, 10, 50, 100])
def test_a_weight_is_the_farthest_move_of_a_frequency_in_steps(quality: int) -> None:
    weights, (steps, _) = jpeg_weights(16, quality), quantisation_tables(quality)
    assert weights.shape == (16, 16) and weights.dtype == np.float32
    for row in range(8):
        for column in range(8):
            one = wave(row, column)[:8, :8]
            farthest = (one * 8 * np.sign(one)).sum()  # the delta within 8 levels that has most of it
            expected = min(1.0, farthest / steps[row, column])
            np.testing.assert_allclose(weights[row::8, column::8], expected, rtol=1e-5)


def test_jpeg_drops_what_has_little_weight_and_leaves_what_has_most() -> None:
    """Deltas of one frequency at the bound, behind the JPEG itself."""
    gray, left = torch.full((1, 1, 16, 16), 120 / 255), {}
    for place in ((0, 1), (7, 7)):
        delta = torch.from_numpy(8 * np.sign(wave(*place))).float() / 255
        change = jpeg_dct(gray + delta, 10) - jpeg_dct(gray, 10)
        left[place] = float((change * delta).sum() / (delta * delta).sum())
    weights = jpeg_weights(8, 10)
    assert weights[0, 1] == 1 and left[0, 1] > 0.5
    assert weights[7, 7] < 0.25 and left[7, 7] == 0


def test_images_of_parts_of_blocks_are_refused() -> None:
    with pytest.raises(UsageError, match="whole blocks of 8 cells, not of 20"):
        block_dct(20)
