"""What `protect` gets from the surrogate that ships."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from ulecli.errors import ModelError
from ulecli.imaging.delta import SMALLEST_GRID, add_delta, working_image
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import amplitudes
from ulecli.imaging.variants import seen
from ulecli.perturb.directions import drawn_direction
from ulecli.surrogates import store
from ulecli.surrogates.feature_perturber import FeaturePerturber
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import RECOGNISED, CueReader
from ulecli.system.devices import Device

NAMES = ("dunes.jpg", "forest.jpg", "mountains.jpg")
FEATURES = 1280


@cache
def perturber(backend: str = "onnxruntime") -> FeaturePerturber:
    found = open_perturber("photo", device=Device.CPU, backend=backend)
    assert isinstance(found, FeaturePerturber)
    return found


@cache
def pictures() -> tuple[Image.Image, ...]:
    found = []
    for name in NAMES:
        with Image.open(ROOT / "samples" / name) as image:
            picture = image.convert("RGB")
        picture.thumbnail((400, 400))
        found.append(picture)
    return tuple(found)


@cache
def shown() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Working images, amplitudes and aspects of the pictures."""
    grid, strong = perturber().grid, Strength.STRONG
    images = np.stack([working_image(picture, grid) for picture in pictures()])
    bounds = np.stack([amplitudes(picture, grid, strong, 8) for picture in pictures()])
    aspects = np.array([picture.width / picture.height for picture in pictures()], np.float32)
    return images, bounds, aspects


@cache
def direction(seed: int) -> np.ndarray:
    images, bounds, _ = shown()
    return perturber().direction(images, bounds, seed)


@cache
def made() -> np.ndarray:
    images, bounds, aspects = shown()
    return perturber()(images, direction(0)[None].repeat(3, 0), bounds, aspects)


def test_a_direction_is_the_same_for_a_seed_and_another_for_another():
    images, bounds, _ = shown()
    assert direction(0).shape == (FEATURES,) and np.linalg.norm(direction(0)) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(perturber().direction(images, bounds, 0), direction(0))
    large = perturber().direction(images, bounds, 2**256 - 1)
    assert max(abs(large @ direction(0)), abs(direction(1) @ direction(0))) < 0.9


def test_without_photos_a_direction_is_as_drawn():
    grid = perturber().grid
    none = perturber().direction(
        np.zeros((0, 3, grid, grid), np.float32), np.zeros((0, 1, grid, grid), np.float32), 3
    )
    assert np.array_equal(none, drawn_direction(FEATURES, 3))


def test_no_cell_is_moved_by_more_than_its_amplitude():
    _, bounds, _ = shown()
    delta = made()
    assert delta.shape == bounds.shape and delta.dtype == np.int8
    assert (np.abs(delta.astype(int)) <= np.rint(bounds)).all()
    assert np.ptp(bounds) > 3  # there are smooth parts and rough ones
    reached = np.abs(delta.astype(int)) == np.rint(bounds)
    assert reached.mean() > 0.5 and delta.min() < 0 < delta.max()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_on_a_cpu_a_batch_gives_what_single_photos_give(order):
    images, bounds, aspects = shown()
    directions = np.stack([direction(seed) for seed in (0, 1, 0)])
    together = perturber()(images[order], directions[order], bounds[order], aspects[order])
    for place, one in enumerate(order):
        alone = slice(one, one + 1)
        found = perturber()(images[alone], directions[alone], bounds[alone], aspects[alone])
        assert np.array_equal(found[0], together[place])


def test_photos_are_recognised_along_their_direction_and_no_other():
    images, *_ = shown()
    own = direction(0)[None].repeat(3, 0)
    assert perturber().recognised(images, own, made()).all()
    for seed in range(5):
        other = drawn_direction(FEATURES, seed)[None].repeat(3, 0)
        assert not perturber().recognised(images, other, made()).any()
    assert not perturber().recognised(images, -own, made()).any()
    assert not perturber().recognised(images, own, np.zeros_like(made())).any()
    noise = np.random.default_rng(0).choice([-1, 1], made().shape).astype(np.int8) * abs(made())
    assert not perturber().recognised(images, own, noise).any()


@pytest.mark.parametrize("side", [SMALLEST_GRID, 20, 100])
def test_small_photos_have_smaller_working_images(side):
    small = [picture.resize((side, side)) for picture in pictures()]
    images = np.stack([working_image(picture, side) for picture in small])
    bounds = np.stack([amplitudes(picture, side, Strength.STRONG, 8) for picture in small])
    own = direction(0)[None].repeat(3, 0)
    delta = perturber()(images, own, bounds, np.ones(3, np.float32))
    assert delta.shape == (3, 1, side, side)
    assert (np.abs(delta.astype(int)) <= np.rint(bounds)).all()
    assert perturber().recognised(images, own, delta).all() or side < 64


def test_several_photos_are_asked_about_at_once():
    images, *_ = shown()
    own, deltas = direction(0)[None].repeat(3, 0), made().copy()
    deltas[1] = 0
    together = perturber().recognised(images, own, deltas)
    alone = [perturber().recognised(images[i, None], own[i, None], deltas[i, None])[0] for i in range(3)]
    assert together.dtype == bool and together.tolist() == alone == [True, False, True]


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_what_is_recognised_before_it_is_stored_is_afterwards(backend):
    if backend == "torch":
        pytest.importorskip("torch")
    reader, (images, bounds, aspects) = CueReader(), shown()
    found = []
    own = direction(0)[None].repeat(3, 0)
    full = perturber(backend)(images, own, bounds, aspects)
    for delta in (full, full // 4, np.zeros_like(full)):
        recognised = perturber(backend).recognised(images, own, delta)
        for picture, change, expected in zip(pictures(), delta, recognised, strict=True):
            moved = picture.copy()
            add_delta(moved, change)
            original, shown_as = (seen([one], reader.sight) for one in (picture, moved))
            reading = reader.read(["file"], original, shown_as, direction(0)).readings["file"]
            found.append((bool(expected), reading.recognised, abs(reading.cosine - RECOGNISED)))
    assert {expected for expected, *_ in found} == {True, False}
    wrong = [margin for expected, recognised, margin in found if expected is not recognised]
    assert len(wrong) <= 1 and all(margin < 0.05 for margin in wrong)


def test_both_backends_move_photos_alike():
    pytest.importorskip("torch")
    images, bounds, aspects = shown()
    own = direction(0)[None].repeat(3, 0)
    theirs = perturber("torch")(images, own, bounds, aspects)
    assert (np.abs(theirs.astype(int)) <= np.rint(bounds)).all()
    assert perturber().recognised(images, own, theirs).all()


@pytest.mark.parametrize("missing", ["grid", "pgd", "directions"])
def test_a_card_that_lacks_something_is_damaged(missing):
    card = store.load_card("photo")
    protocol = {key: value for key, value in card.protocol.items() if key != missing}
    with pytest.raises(ModelError, match=f"damaged at '{missing}'"):
        FeaturePerturber(perturber()._gradients, replace(card, protocol=protocol), "a test")
