from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import scene

from ulecli.data.folder import image_folder
from ulecli.evaluation.poisons.photo_noise import (
    HIGHEST,
    TOLERANCE,
    NoisyPhotos,
    fitted_noise,
    mean_change,
    random_signs,
    solve,
)
from ulecli.evaluation.poisons.protected_photos import read_photos
from ulecli.imaging.upload import Upload


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Two classes of six photos, most of them JPEG, larger than the grid."""
    root = tmp_path_factory.mktemp("photos")
    for label, name in enumerate(("sea", "street")):
        (root / name).mkdir()
        for number in range(6):
            suffix = {4: "png", 5: "webp"}.get(number, "jpg")
            scene(200, 150, seed=10 * label + number).save(root / name / f"{number}.{suffix}")
    return root


def noisy(tree: Path, upload: str = "none", size: int = 32, jobs: int = 2) -> NoisyPhotos:
    return NoisyPhotos(tree, grid=16, upload=Upload.parse(upload), size=size, jobs=jobs)


EVERY = torch.arange(12)


def test_signs_are_at_the_amplitude_and_follow_the_name() -> None:
    signs = random_signs("sea/1.jpg", 64, 8)
    assert signs.shape == (1, 64, 64) and signs.dtype == np.int8
    assert set(np.unique(signs).tolist()) == {-8, 8}
    assert abs(signs.astype(int).mean()) < 0.5
    assert np.array_equal(signs, random_signs("sea/1.jpg", 64, 8))
    assert not np.array_equal(signs, random_signs("sea/2.jpg", 64, 8))
    assert np.array_equal(np.sign(signs), np.sign(random_signs("sea/1.jpg", 64, 3.5)))
    assert random_signs("é\udcff", 8, 127).max() == HIGHEST


@pytest.mark.parametrize("amplitude", [0, 0.25, 4.3, 126.5])
def test_amplitudes_between_levels_are_kept_on_average(amplitude: float) -> None:
    sizes = np.abs(random_signs("x", 100, amplitude).astype(int))
    assert set(np.unique(sizes).tolist()) <= {int(amplitude), int(amplitude) + 1}
    assert sizes.mean() == pytest.approx(amplitude, abs=0.02)


@pytest.mark.parametrize("upload", ["none", "q60", "100:q80"])
def test_noise_of_nothing_is_the_photo_stored_once_more(tree: Path, upload: str) -> None:
    """Without noise only the encoder's own loss is left, after the same upload and squeeze."""
    clean = read_photos(tree, Upload.parse(upload), 32, jobs=1)
    still = noisy(tree, upload).read(EVERY, 0)
    assert mean_change(still, clean.images) < 1
    png = [4, 10]  # stored without loss
    assert torch.equal(still[png], clean.images[png])


def test_photos_do_not_depend_on_each_other_or_on_threads(tree: Path) -> None:
    every = noisy(tree, "q90").read(EVERY, 8)
    some = noisy(tree, "q90", jobs=1).read(torch.tensor([7, 2]), 8)
    assert torch.equal(some, every[[7, 2]])


def test_the_upload_reaches_the_noise(tree: Path) -> None:
    clean = image_folder(tree, 32).images
    plain, uploaded = (noisy(tree, upload).read(EVERY, 8) for upload in ("none", "40:q30"))
    assert not torch.equal(plain, uploaded)
    assert 1 < mean_change(plain, clean) < 8


def test_progress_reaches_the_end(tree: Path) -> None:
    seen: list[tuple[int, int]] = []
    noisy(tree).read(EVERY, 4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]


@pytest.mark.parametrize("upload", ["none", "q75"])
@pytest.mark.parametrize("target", [1.5, 3.0, 9.0])
def test_noise_is_fitted_to_a_mean_change(tree: Path, upload: str, target: float, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.evaluation.poisons.photo_noise._SAMPLE", 6)
    clean = read_photos(tree, Upload.parse(upload), 32, jobs=1).images
    photos = noisy(tree, upload)
    at_bound = mean_change(photos.read(EVERY, 8), clean)
    images, amplitude = fitted_noise(photos, EVERY, clean, target, (8, at_bound))
    assert mean_change(images, clean) == pytest.approx(target, rel=TOLERANCE)
    assert (amplitude > 8) == (target > at_bound)
    assert torch.equal(images, photos.read(EVERY, amplitude))


def test_a_mean_out_of_reach_gives_the_nearest(tree: Path) -> None:
    clean = image_folder(tree, 32).images
    photos = noisy(tree)
    known = (8.0, mean_change(photos.read(EVERY, 8), clean))
    assert fitted_noise(photos, EVERY, clean, 200, known)[1] == HIGHEST
    assert fitted_noise(photos, EVERY, clean, 1e-4, known)[1] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("wanted", [0.7, 5, 11.3, 40])
@pytest.mark.parametrize("floor", [0, 0.5])
def test_the_search_finds_what_a_response_needs(wanted: float, floor: float) -> None:
    tried: list[float] = []

    def response(amplitude: float) -> float:
        tried.append(amplitude)
        return float(np.hypot(floor, 0.6 * min(amplitude, 100) ** 0.97))

    found = solve(response, wanted, start=8)
    assert response(found) == pytest.approx(wanted, rel=0.003)
    assert len(tried) <= 9


def test_the_mean_change_is_numpys() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 300, 3, 5, 7), np.uint8)
    expected = np.abs(one.astype(int) - other).mean()
    assert mean_change(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected)
