from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import UsageError
from ulecli.transforms import views


def pillow_resize(
    image: NDArray[np.float32], size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> NDArray[np.float32]:
    """Pillow's BILINEAR in float, the oracle: `size` is (height, width), `box` (left, top, right, bottom)."""
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (32, 32, (8, 8)),
        (32, 32, (32, 32)),
        (17, 41, (9, 23)),
        (12, 7, (31, 20)),
        (64, 64, (65, 63)),
        (5, 5, (1, 1)),
    ],
)
def test_whole_axis_is_pillows_bilinear(height: int, width: int, size: tuple[int, int]) -> None:
    image = noise(height, width)
    rows = views.axis_matrix([0.0], [1.0], height, size[0])[0]
    columns = views.axis_matrix([0.0], [1.0], width, size[1])[0]
    np.testing.assert_allclose(rows @ image @ columns.T, pillow_resize(image, size), atol=2e-6)


@pytest.mark.parametrize("size", [(5, 7), (24, 24), (60, 50)])
@pytest.mark.parametrize("box", [(4.0, 8.0, 28.0, 32.0), (0.5, 3.25, 20.75, 17.5), (0.0, 0.0, 40.0, 11.0)])
def test_crop_is_pillows_resize_of_a_box(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    image = noise(40, 40, seed=1)
    left, top, right, bottom = (edge / 40 for edge in box)
    rows = views.axis_matrix([top], [bottom], 40, size[0])[0]
    columns = views.axis_matrix([left], [right], 40, size[1])[0]
    np.testing.assert_allclose(rows @ image @ columns.T, pillow_resize(image, size, box), atol=2e-6)


def test_each_image_gets_its_own_crop() -> None:
    low, high = [0.0, 0.1, 0.5], [1.0, 0.4, 0.75]
    batch = views.axis_matrix(low, high, 20, 9)
    for index in range(3):
        alone = views.axis_matrix([low[index]], [high[index]], 20, 9)
        np.testing.assert_array_equal(batch[index], alone[0])


def test_flip_mirrors_only_where_asked() -> None:
    image = noise(2, 16, seed=2)
    straight = views.axis_matrix([0.1, 0.1], [0.8, 0.8], 16, 11, flip=[False, False], sigma=0.7)
    mirrored = views.axis_matrix([0.1, 0.1], [0.8, 0.8], 16, 11, flip=[False, True], sigma=0.7)
    seen, flipped = (np.einsum("nsc,nc->ns", matrix, image) for matrix in (straight, mirrored))
    np.testing.assert_array_equal(flipped[0], seen[0])
    np.testing.assert_allclose(flipped[1], seen[1, ::-1], atol=1e-6)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 4.0])
def test_blur_is_a_gaussian_normalised_at_the_edges(sigma: float) -> None:
    samples = 13
    naive = np.zeros((samples, samples))
    for row in range(samples):
        for column in range(samples):
            naive[row, column] = np.exp(-((row - column) ** 2) / (2 * sigma**2))
        naive[row] /= naive[row].sum()
    np.testing.assert_allclose(views.gaussian_matrix(samples, sigma), naive, atol=1e-12)


@given(
    edges=st.tuples(st.floats(0, 0.95), st.floats(0.01, 1)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    cells=st.integers(1, 40),
    samples=st.integers(1, 40),
    sigma=st.just(0.0) | st.floats(0.01, 3),
    flip=st.booleans(),
)
def test_rows_are_weighted_means(
    edges: tuple[float, float], cells: int, samples: int, sigma: float, flip: bool
) -> None:
    low, high = edges[0], min(1.0, edges[1])
    matrix = views.axis_matrix([low], [high], cells, samples, flip=[flip], sigma=sigma)
    assert matrix.shape == (1, samples, cells)
    assert matrix.dtype == np.float32
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=2), 1, atol=1e-5)


policies = st.builds(
    views.ViewPolicy,
    sizes=st.lists(st.integers(1, 24), min_size=1, max_size=3).map(tuple),
    area=st.tuples(st.floats(0.05, 0.5), st.floats(0.5, 1.0)),
    shift=st.integers(0, 4),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    blur=st.sampled_from([0.0, 1.0]),
    gray=st.sampled_from([0.0, 1.0]),
)


@given(
    policy=policies,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 3),
    cells=st.integers(4, 20),
    channels=st.sampled_from([1, 2, 3]),
)
def test_adjoint_carries_gradients_back(
    policy: views.ViewPolicy, seed: int, count: int, cells: int, channels: int
) -> None:
    """<see(x), g> = <x, adjoint(g)> for every x and g, which is what makes it the adjoint."""
    rng = np.random.default_rng(seed)
    view = policy.draw(rng, count, cells)
    images = rng.standard_normal((count, channels, cells, cells), np.float32)
    seen = view.see(images)
    gradients = rng.standard_normal(seen.shape, np.float32)
    carried = view.adjoint(gradients)
    assert carried.shape == images.shape
    scale = float(np.linalg.norm(seen) * np.linalg.norm(gradients)) + 1.0
    assert abs(float(np.vdot(seen, gradients)) - float(np.vdot(images, carried))) < 1e-5 * scale


def test_gray_is_the_luma_in_as_many_channels() -> None:
    matrix = views.axis_matrix([0.0], [1.0], 8, 8)
    images = noise(2, 3, 8, 8)
    luma = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    seen = views.View(matrix, matrix, gray=True).see(images)
    np.testing.assert_allclose(seen, luma[:, None].repeat(3, 1), atol=1e-6)
    for gray in (False, True):  # which of one channel are what they were
        np.testing.assert_allclose(views.View(matrix, matrix, gray=gray).see(images[:, :1]), images[:, :1])


@pytest.mark.parametrize("offset", [-5, -1, 0, 3])
def test_shift_repeats_the_edge(offset: int) -> None:
    line = noise(12, seed=3)
    expected = np.pad(line, 6, mode="edge")[6 + offset : 18 + offset]
    matrix = views.shift_matrix(np.array([offset / 12]), 12, 12, 0.0)[0]
    np.testing.assert_array_equal(matrix @ line, expected)


def test_shift_then_flip_then_resize() -> None:
    line = noise(12, seed=4)
    shifted = np.pad(line, 6, mode="edge")[8:20]
    expected = views.axis_matrix([0.0], [1.0], 12, 5, sigma=0.5)[0] @ shifted
    matrix = views.shift_matrix(np.array([2 / 12]), 12, 5, 0.5, flip=[True])[0]
    np.testing.assert_allclose(matrix @ line, expected[::-1], atol=1e-6)


def extent(matrices: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (N,) the length of the interval that enlarging matrices read, normalised.

    Two neighbours in the middle of the result lie one stride apart, as interpolation keeps a ramp.
    """
    samples, cells = matrices.shape[1:]
    ramp = matrices.astype(np.float64) @ np.arange(cells)
    return np.asarray((ramp[:, samples // 2] - ramp[:, samples // 2 - 1]) * samples / cells)


@pytest.mark.parametrize("aspect", [0.5, 2 / 3, 1.0, 1.5, 2.0])
def test_crops_keep_to_their_area_and_aspect(aspect: float) -> None:
    policy = views.ViewPolicy(sizes=(128,), area=(0.25, 0.7), flip=0.0)
    count = 400
    aspects = np.full(count, aspect, np.float32)
    view = policy.draw(np.random.default_rng(0), count, 32, aspects=aspects)
    height, width = extent(view.rows), extent(view.columns)
    area = height * width
    assert 0.25 - 1e-3 <= area.min() < 0.27
    assert 0.6 < area.max() <= 0.7 + 1e-3
    assert max(height.max(), width.max()) <= 1 + 1e-4
    whole = (
        np.maximum(height, width) < 0.999
    )  # a crop that meets both edges can't keep the aspect drawn for it
    seen = (aspects * width / height)[whole]
    assert 3 / 4 - 1e-3 <= seen.min() < 0.8
    assert 1.25 < seen.max() <= 4 / 3 + 1e-3


def test_the_same_seed_draws_the_same_view() -> None:
    policy = views.ViewPolicy(sizes=(16, 24), jpeg=0.5, blur=0.5, posterize=0.3)
    first, again, other = (policy.draw(np.random.default_rng(seed), 3, 32) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.columns, again.columns)
    assert (first.quality, first.bits) == (again.quality, again.bits)
    assert first.rows.shape != other.rows.shape or not np.array_equal(first.rows, other.rows)


def test_chances_are_what_the_policy_says() -> None:
    policy = views.ViewPolicy(sizes=(4, 8), jpeg=0.4, quality=(30, 40), posterize=0.35, bits=2, gray=0.3)
    rng = np.random.default_rng(0)
    drawn = [policy.draw(rng, 1, 8) for _ in range(600)]
    qualities = {view.quality for view in drawn} - {0}
    assert qualities == set(range(30, 41))
    assert {view.rows.shape[1] for view in drawn} == {4, 8}
    assert not any(view.quality and view.bits < 8 for view in drawn)
    assert np.mean([view.quality > 0 for view in drawn]) == pytest.approx(0.4, abs=0.07)
    assert np.mean([view.bits == 2 for view in drawn]) == pytest.approx(0.35, abs=0.07)
    assert np.mean([view.gray for view in drawn]) == pytest.approx(0.3, abs=0.07)


def test_without_chances_a_view_is_only_geometry() -> None:
    view = views.ViewPolicy().draw(np.random.default_rng(0), 2, 32)
    assert (view.quality, view.bits, view.gray) == (0, 8, False)
    assert view.see(noise(2, 3, 32, 32)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    "wrong",
    [
        {"jpeg": 0.7, "posterize": 0.7},
        {"flip": 1.5},
        {"area": (0.8, 0.2)},
        {"quality": (90, 30)},
        {"sizes": ()},
        {"bits": 9},
        {"gray": 1.1},
    ],
    ids=str,
)
def test_a_policy_that_is_no_distribution_is_refused(wrong) -> None:
    with pytest.raises(UsageError):
        views.ViewPolicy(**wrong)
