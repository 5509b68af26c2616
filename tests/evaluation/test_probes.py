from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.easy_sets import TINY, stripes

from ulecli.data.shapes import shapes
from ulecli.evaluation import probes
from ulecli.evaluation.probes import seconds_of_an_image, seconds_of_protecting, seconds_of_training
from ulecli.nets.threads import torch_threads
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.recipe import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread")


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(probes, "time", found)
    return found


def test_a_training_is_as_long_as_its_steps() -> None:
    recipe = replace(RECIPES["cifar-linear"], batches=300, batch_size=10)
    training = Training(recipe, shapes(40), seed=0, device=torch.device("cpu"))
    before = torch.get_rng_state()
    seconds = seconds_of_training(training)
    assert training.done == 2  # the first makes ready; with this clock one is enough
    assert seconds == 2 * 300  # the clock was read when it began, in between, and at the end
    assert torch.equal(torch.get_rng_state(), before)


def test_protecting_grows_with_the_images() -> None:
    assert seconds_of_protecting("cifar-linear", shapes(40), 400, "cpu") == 2 * 400 / 40


@pytest.mark.parametrize("threads", [1, 3])
def test_protecting_is_measured_with_all_threads_at_work(threads: int, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.perturb.sets.BATCH", 10)
    monkeypatch.setattr(probes, "BATCH", 10)
    with torch_threads(threads):
        found = seconds_of_protecting("cifar-linear", shapes(40), 400, "cpu")
    assert found == 2 * 400 / (10 * threads)


def test_an_image_costs_a_share_of_its_batch() -> None:
    protocol = replace(TINY, batch_size=16)
    found = seconds_of_an_image(stripes(64, 0), stripes(40, 1), protocol, "cpu")
    assert found == 1 / 16  # a second from the first step to the next, on one epoch of four


def test_more_steps_are_measured_where_they_are_fast(monkeypatch, clock) -> None:
    monkeypatch.setattr(probes, "SECONDS", 3.5)
    recipe = replace(RECIPES["cifar-linear"], batches=300, batch_size=10)
    training = Training(recipe, shapes(40), seed=0, device=torch.device("cpu"))
    seconds_of_training(training)
    assert training.done > 2


def test_what_can_not_be_begun_is_not_known() -> None:
    assert seconds_of_an_image(stripes(8, 0), stripes(40, 1), replace(TINY, batch_size=16), "cpu") is None
