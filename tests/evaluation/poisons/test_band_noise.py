from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import scene
from PIL import Image

from ulecli.errors import UleError
from ulecli.evaluation.poisons.band_noise import (
    BANDS,
    CLOSE,
    Band,
    BandNoise,
    band_field,
    difference,
    on_screen,
    search,
)
from ulecli.evaluation.poisons.stored_photos import StoredPhotos
from ulecli.evaluation.results import record
from ulecli.imaging.texture import texture_weights
from ulecli.imaging.upload import Upload
from ulecli.imaging.visibility import ssimulacra2


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    (root / "sea").mkdir()
    for number, suffix in enumerate(("jpg", "jpg", "png")):
        scene(200, 150, seed=number).save(root / "sea" / f"{number}.{suffix}")
    return root


def photos_in(tree: Path) -> StoredPhotos:
    return StoredPhotos(tree, Upload(), size=64, jobs=2)


def test_the_bands_are_those_of_the_tables() -> None:
    assert tuple(band.name for band in BANDS) == record.BANDS


def energy(field: np.ndarray, low: float, high: float) -> float:
    """Share of the energy between two frequencies in cycles per shorter side."""
    height, width = field.shape
    shorter = min(field.shape)
    cycles = np.hypot(np.fft.fftfreq(height)[:, None] * shorter, np.fft.fftfreq(width)[None] * shorter)
    power = np.abs(np.fft.fft2(field)) ** 2
    return float(power[(cycles >= low) & (cycles <= high)].sum() / power.sum())


@pytest.mark.parametrize("size", [(150, 150), (200, 150), (120, 300), (900, 1200)])
@pytest.mark.parametrize("band", BANDS)
def test_the_energy_lies_in_the_band(size: tuple[int, int], band: Band) -> None:
    field = band_field("a", size, band)
    assert field is not None and field.shape == size[::-1]
    assert energy(field, band.low * 0.97, band.high * 1.03) > 0.95
    assert field.std() == pytest.approx(1, abs=0.08) and abs(field.mean()) < 0.01
    assert np.array_equal(field, band_field("a", size, band))
    other = band_field("b", size, band)
    assert other is not None and abs(np.corrcoef(field.ravel(), other.ravel())[0, 1]) < 0.1


def test_a_photo_too_small_for_a_band_is_one_line(tmp_path) -> None:
    assert band_field("a", (20, 20), Band(24, 56)) is None
    (tmp_path / "sea").mkdir()
    scene(20, 20).save(tmp_path / "sea" / "0.png")
    with pytest.raises(UleError, match=r"0\.png is 20 x 20 pixels, too small for noise of 24 cycles"):
        BandNoise(photos_in(tmp_path), Band(24, 56)).fitted(tmp_path / "sea" / "0.png", 50, tmp_path / "out")


@pytest.mark.parametrize("wanted", [80.0, 50.0, 20.0])
@pytest.mark.parametrize("band", BANDS)
def test_noise_is_seen_as_plainly_as_wanted(wanted: float, band: Band, tree: Path, tmp_path) -> None:
    # With the lower floor of the perturbation no noise is as plain as 20 on such smooth pictures.
    noise = BandNoise(photos_in(tree), band, weights=lambda image: texture_weights(image, floor=0.4))
    for path in sorted((tree / "sea").iterdir()):
        stored, found = noise.fitted(path, wanted, tmp_path / path.stem)
        with Image.open(path) as before, Image.open(stored) as after:
            assert (after.format, after.size) == (before.format, before.size)
            score = ssimulacra2(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))
        assert score == pytest.approx(found.noise) == pytest.approx(wanted, abs=CLOSE)
        assert found.protected == wanted and found.amplitude > 0
        stored.unlink()


def test_a_map_of_weights_shapes_the_noise(tree: Path, tmp_path) -> None:
    def left_alone(image: Image.Image) -> np.ndarray:
        weights = np.ones((128, 128), np.float32)
        weights[:, :64] = 0
        return weights

    path = tree / "sea" / "2.png"
    stored, _ = BandNoise(photos_in(tree), BANDS[0], weights=left_alone).fitted(path, 40, tmp_path / "x")
    with Image.open(path) as before, Image.open(stored) as after:
        change = np.abs(np.asarray(after.convert("RGB"), int) - np.asarray(before.convert("RGB")))
    assert not change[:, :90].any() and change[:, 110:].mean() > 1
    assert np.ptp(change, axis=2).max() <= change.max()


def test_every_photo_gets_its_own_score(tree: Path) -> None:
    paths = sorted((tree / "sea").iterdir())
    wanted = dict(zip(paths, (70.0, 40.0, 55.0), strict=True))
    images, found = BandNoise(photos_in(tree), BANDS[1]).read(torch.tensor([0, 2]), wanted)
    assert images.shape == (2, 3, 64, 64)
    assert [one.protected for one in found] == [70, 55]
    assert all(abs(one.noise - one.protected) <= CLOSE for one in found)


@pytest.mark.parametrize(
    ("response", "wanted", "amplitude"),
    [
        (lambda amplitude: 90 - 8 * amplitude, 50, 5),
        (lambda amplitude: 95 - amplitude, 50, 45),
        (lambda amplitude: 90 - 30 * amplitude, 80, 1 / 3),
        (lambda amplitude: 40 - amplitude, 60, 0),  # storing alone is plainer to see than wanted
        (lambda amplitude: 90 - amplitude / 8, 20, 64),  # out of reach
    ],
)
def test_the_search_ends_near_what_is_wanted(
    response: Callable[[float], float], wanted: float, amplitude: float
) -> None:
    tried: list[float] = []

    def seen(amplitude: float) -> float:
        tried.append(amplitude)
        return response(amplitude)

    found, score = search(seen, wanted)
    assert score == response(found) and len(tried) <= 12
    assert found == pytest.approx(amplitude, abs=0.51)


def test_a_change_is_measured_at_the_size_of_a_screen(tmp_path) -> None:
    assert on_screen(Image.new("RGB", (2160, 1080))).shape == (540, 1080, 3)
    assert on_screen(Image.new("RGB", (300, 200))).shape == (200, 300, 3)
    scene(160, 120).save(tmp_path / "a.png")
    scene(160, 120).save(tmp_path / "b.jpg", quality=30)
    assert difference(tmp_path / "a.png", tmp_path / "a.png") == pytest.approx(100)
    assert difference(tmp_path / "b.jpg", tmp_path / "a.png") < 90
    scene(80, 60).save(tmp_path / "small.png")
    with pytest.raises(UleError, match="is 80 x 60 pixels and its original 160 x 120"):
        difference(tmp_path / "small.png", tmp_path / "a.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    with pytest.raises(UleError, match=r"torn\.jpg can't be measured"):
        difference(tmp_path / "torn.jpg", tmp_path / "a.png")
