from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from conftest import ROOT, scene
from PIL import Image

from ulecli.errors import ModelError
from ulecli.imaging.delta import add_delta, working_image
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import amplitudes
from ulecli.imaging.variants import seen, variants, views
from ulecli.perturb.directions import drawn_direction
from ulecli.surrogates import store
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import RECOGNISED, CueReader, Reading, compared
from ulecli.system.devices import Device


@cache
def reader() -> CueReader:
    return CueReader("photo")


def photo() -> Image.Image:
    with Image.open(ROOT / "samples" / "forest.jpg") as stored:
        return stored.convert("RGB")


@cache
def protected(seed: int) -> tuple[Image.Image, np.ndarray]:
    """The photo moved along a direction that was found for it, and the direction."""
    image, perturber = photo(), open_perturber("photo", device=Device.CPU, threads=1)
    small = working_image(image, perturber.grid)[None]
    bounds = amplitudes(image, perturber.grid, Strength.STRONG, 8)[None]
    direction = perturber.direction(small, bounds, seed)
    aspect = np.array([image.width / image.height], np.float32)
    add_delta(image, perturber(small, direction[None], bounds, aspect)[0])
    return image, direction


def cue(picture: Image.Image, direction: np.ndarray):
    names, shown = views(picture, reader().sight)
    return reader().read(names, seen([photo()], reader().sight), shown, direction)


def test_a_reading_is_the_length_along_the_direction_and_the_cosine():
    direction = np.array([0.6, 0.8, 0.0], np.float32)
    found = compared(np.array([3.0, 4.0, 12.0], np.float32), direction)
    assert found == Reading(pytest.approx(5.0), pytest.approx(5 / 13))
    assert compared(np.zeros(3, np.float32), direction) == Reading(0.0, 0.0)
    assert compared(-direction, direction).cosine == pytest.approx(-1)


@pytest.mark.parametrize("apart", [-0.01, 0.01])
def test_a_cosine_of_the_threshold_is_recognised_however_long_the_shift(apart):
    cosine = RECOGNISED + apart
    direction = np.array([1.0, 0.0], np.float32)
    shift = np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)
    for length in (0.01, 1, 100):
        assert compared(np.float32(length) * shift, direction).recognised is (apart > 0)
    assert Reading(1.0, RECOGNISED).recognised and not Reading(9.0, RECOGNISED - 1e-6).recognised


def test_chance_stays_below_the_threshold():
    length = store.load_card("photo").net["features"]
    shifts = [drawn_direction(length, seed) for seed in range(300)]
    cosines = np.array([compared(shift, drawn_direction(length, 1000)).cosine for shift in shifts])
    assert cosines.std() == pytest.approx(length**-0.5, rel=0.2)
    assert np.abs(cosines).max() < RECOGNISED


def test_the_shift_is_that_of_the_nets_own_features():
    torch = pytest.importorskip("torch")
    from ulecli.surrogates.weights import load_net

    picture, direction = protected(3)
    images = seen([photo(), picture], reader().sight)
    net = load_net("photo")
    with torch.no_grad():
        before, after = net(torch.from_numpy(images)).numpy()
    expected = float((after - before) @ direction)
    found = reader().read(["file"], images[:1], images[1:], direction).readings["file"]
    assert found.shift == pytest.approx(expected, abs=1e-3 * abs(expected))
    assert found.cosine == pytest.approx(expected / np.linalg.norm(after - before), abs=1e-3)


@pytest.mark.parametrize("seed", [3, 38])
def test_the_direction_that_was_written_reads_in_every_variant(seed):
    readings = cue(*protected(seed)).readings
    sides = {str(side) for side in (1080, 512, 224) if side < max(photo().size)}
    assert set(readings) == {"file", "q85", *sides}
    for name, found in readings.items():
        assert found.recognised and found.cosine >= RECOGNISED and found.shift > 1, name


def test_another_direction_does_not_read():
    picture, own = protected(3)
    for other in (drawn_direction(len(own), 5), -own):
        readings = cue(picture, other).readings
        assert not any(found.recognised for found in readings.values())


def test_the_original_reads_along_no_direction():
    _, direction = protected(3)
    readings = cue(photo(), direction).readings
    assert not any(found.recognised for found in readings.values())
    assert readings["file"] == Reading(0.0, 0.0)


@pytest.mark.parametrize("name", ["cifar", "cifar-mlp", "nobody"])
def test_surrogates_without_features_read_nothing(name):
    with pytest.raises(ModelError, match=r"no features|no surrogate"):
        CueReader(name)


def test_the_reader_says_whose_directions_it_reads():
    card = store.load_card("photo")
    assert reader().sha256 == card.files["photo.safetensors"].sha256
    assert (reader().sight.channels, reader().sight.side) == (3, card.net["side"])


def test_variants_never_enlarge():
    sizes = {name: picture.size for name, picture in variants(scene(600, 300))}
    assert sizes == {"file": (600, 300), "q85": (600, 300), "512": (512, 256), "224": (224, 112)}
    assert dict(variants(scene(3000, 2)))["224"].size == (224, 1)
