from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ulecli.data.shapes import shapes
from ulecli.perturb import sets
from ulecli.perturb.sets import set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.weights import load_net

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = shapes(50)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(sets, "BATCH", 10)


def settings() -> PgdSettings:
    return PgdSettings.from_card(store.load_card("cifar-linear").protocol["pgd"])


def delta(
    parts: Path | None = None, stop_after: int = 0, **changes: object
) -> tuple[torch.Tensor, list[int]]:
    """Return delta, and how far the work was whenever it was reported."""
    reported: list[int] = []

    def report(done: int) -> None:
        reported.append(done)
        if done == stop_after:
            raise KeyboardInterrupt

    given = {"settings": settings(), "parts": parts, "progress": report, **changes}
    net = load_net("cifar-linear")
    return set_delta(net, IMAGES.images, IMAGES.labels, **given), reported


@pytest.mark.parametrize("stop_after", [10, 30, 50])
def test_an_interrupted_set_goes_on_as_if_nothing_had_been(stop_after: int, tmp_path) -> None:
    whole, _ = delta()
    with pytest.raises(KeyboardInterrupt):
        delta(tmp_path, stop_after)
    assert len(list(tmp_path.iterdir())) == stop_after // 10
    resumed, reported = delta(tmp_path)
    assert torch.equal(resumed, whole)
    assert reported == list(range(stop_after, 60, 10))  # nothing is made twice


def test_parts_do_not_change_what_is_made(tmp_path) -> None:
    assert torch.equal(delta(tmp_path)[0], delta()[0])


@pytest.mark.parametrize(
    "changes", [{"epsilon": 4}, {"seed": 1}, {"settings": replace(settings(), steps=3, momentum=0.5)}]
)
def test_parts_of_other_things_are_not_taken_up(changes: dict[str, object], tmp_path) -> None:
    delta(tmp_path)
    other, reported = delta(tmp_path, **changes)
    assert torch.equal(other, delta(**changes)[0]) and reported[0] == 10


def test_parts_of_another_net_are_not_taken_up(tmp_path) -> None:
    delta(tmp_path)
    net = load_net("cifar-linear")
    with torch.no_grad():
        next(net.parameters()).mul_(-1)
    seen: list[int] = []
    set_delta(net, IMAGES.images, IMAGES.labels, settings(), parts=tmp_path, progress=seen.append)
    assert seen == [10, 20, 30, 40, 50]
