"""The direction of an identity against a naive search with torch's autograd."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.seeding import seeded
from ulecli.perturb.directions import DirectionSettings, common_direction, drawn_direction
from ulecli.perturb.torch_gradients import TorchGradients
from ulecli.transforms.views import Floats, View, axis_matrix

pytestmark = pytest.mark.usefixtures("one_thread")

GRID, SIDE, FEATURES = 16, 12, 10
WHOLE = View(axis_matrix(0.0, 1.0, GRID, SIDE), axis_matrix(0.0, 1.0, GRID, SIDE))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with seeded(0):
        layers = nn.Conv2d(3, FEATURES, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photos() -> tuple[Floats, Floats]:
    """Five pictures and how far their cells may be moved, here a little and there more."""
    rng = np.random.default_rng(1)
    images = rng.random((5, 3, GRID, GRID), np.float32)
    return images, (rng.uniform(1, 8, (5, 1, GRID, GRID)) / 255).astype(np.float32)


def search(
    net: nn.Module, photos: tuple[Floats, Floats], start: Floats, settings: DirectionSettings
) -> Floats:
    return common_direction(TorchGradients(net, torch.device("cpu")), *photos, start, settings, WHOLE)


def naive(
    net: nn.Module, photos: tuple[Floats, Floats], start: Floats, settings: DirectionSettings
) -> Floats:
    """The same photo by photo, in double precision, with resizing and differentiation by torch."""
    images, bounds = (torch.from_numpy(one).double() for one in photos)
    exact = net.double()

    def features(shown: torch.Tensor) -> torch.Tensor:
        small = nn.functional.interpolate(shown, SIDE, mode="bilinear", antialias=True)
        return exact(small)

    direction = torch.from_numpy(start).double()
    deltas = [torch.zeros_like(bound)[None] for bound in bounds]
    moments = [torch.zeros_like(bound)[None] for bound in bounds]
    for step in range(1, settings.steps + 1):
        shifts = []
        for n, (image, bound) in enumerate(zip(images, bounds, strict=True)):
            delta = deltas[n].clone().requires_grad_()
            (features((image + delta).clip(0, 1)) @ direction).sum().backward()
            assert delta.grad is not None
            moments[n] = settings.momentum * moments[n] + delta.grad / delta.grad.abs().mean()
            moved = deltas[n] + settings.step * bound * moments[n].sign()
            deltas[n] = torch.minimum(torch.maximum(moved, -bound), bound)
            shifts.append(features((image + deltas[n]).clip(0, 1)) - features(image[None]))
        if step >= settings.guided:
            shift = torch.cat(shifts).mean(0)
            direction = shift / shift.norm()
    net.float()
    return direction.numpy().astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [
        DirectionSettings(),
        DirectionSettings(steps=2, guided=1, momentum=0.0),
        DirectionSettings(steps=6, guided=5, step=0.1),
        DirectionSettings(steps=9, guided=3, step=1.5, momentum=0.9),
    ],
    ids=str,
)
def test_a_direction_is_that_of_the_naive_search(net, photos, settings: DirectionSettings) -> None:
    start = drawn_direction(FEATURES, 7)
    found, expected = search(net, photos, start, settings), naive(net, photos, start, settings)
    assert found.dtype == np.float32 and np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    # A gradient of nearly 0 may get either sign in single precision.
    assert found @ expected > 0.9999
    assert found @ start < 0.99  # it did go somewhere


def test_the_start_decides_which_of_many_directions_is_found(net, photos) -> None:
    found = [search(net, photos, drawn_direction(FEATURES, seed), DirectionSettings()) for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1]) and found[0] @ found[2] < 0.99


def test_photos_can_be_moved_further_along_it_than_along_its_start(net, photos) -> None:
    start = drawn_direction(FEATURES, 3)
    found = search(net, photos, start, DirectionSettings())
    images, bounds = map(torch.from_numpy, photos)
    surrogate = TorchGradients(net, torch.device("cpu"))

    def reach(direction: Floats) -> float:
        """How far one step to the bound moves the features, on average."""
        targets = torch.from_numpy(direction).repeat(len(images), 1)
        gradient = surrogate.gradient(images, bounds * 0, targets, WHOLE)
        moved = (images + bounds * gradient.sign()).clip(0, 1)
        seen = [torch.from_numpy(WHOLE.see(each.numpy())) for each in (moved, images)]
        return float(((net(seen[0]) - net(seen[1])) @ torch.from_numpy(direction)).mean())

    assert reach(found) > 1.2 * reach(start) > 0


def test_where_nothing_moves_the_start_is_all_there_is(net, photos) -> None:
    start = drawn_direction(FEATURES, 0)
    images, bounds = photos
    assert np.array_equal(search(net, (images, bounds * 0), start, DirectionSettings()), start)
    blind = nn.Sequential(net, nn.Threshold(100, 1.0))  # gives 1 for whatever is shown
    assert np.array_equal(search(blind, photos, start, DirectionSettings()), start)


def test_drawn_directions_are_of_norm_1_and_follow_seeds_of_any_size() -> None:
    seeds = (0, 1, 2**256 - 1)
    drawn = [drawn_direction(1280, seed) for seed in seeds]
    for one, seed in zip(drawn, seeds, strict=True):
        assert one.shape == (1280,) and one.dtype == np.float32
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-6)
        assert np.array_equal(one, drawn_direction(1280, seed))
    cosines = np.stack(drawn) @ np.stack(drawn).T - np.eye(3)
    assert np.abs(cosines).max() < 5 / 1280**0.5  # five deviations


@pytest.mark.parametrize(
    "wrong",
    [
        {"photos": 0},
        {"guided": 0},
        {"steps": 2, "guided": 2},
        {"step": 0.0},
        {"momentum": 1.0},
        {"momentum": -0.1},
    ],
    ids=str,
)
def test_settings_refuse_what_cannot_be(wrong) -> None:
    with pytest.raises(UsageError, match="direction"):
        DirectionSettings(**wrong)


def test_settings_survive_the_card() -> None:
    chosen = DirectionSettings(photos=4, steps=5, step=0.2)
    assert DirectionSettings.from_card(json.loads(json.dumps(chosen.to_card()))) == chosen
    for damage in ({"pace": 3}, {"steps": "many"}, {"photos": 0}):
        with pytest.raises(ModelError, match="reinstall"):
            DirectionSettings.from_card(chosen.to_card() | damage)
