from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ulecli.data.shapes import shapes
from ulecli.nets.threads import torch_threads
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
    """Return steps too short to lead away from a random start, so that what is drawn shows in the result."""
    shipped = PgdSettings.from_card(store.load_card("cifar-linear").protocol["pgd"])
    return replace(shipped, random_start=True, travel=0.5)


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


def drawn(monkeypatch) -> list[int]:
    """Return a list that grows by the size of every batch that is perturbed."""
    sizes: list[int] = []
    minimise = sets.minimise

    def counted(surrogate, images, *more, **named):
        sizes.append(len(images))
        return minimise(surrogate, images, *more, **named)

    monkeypatch.setattr(sets, "minimise", counted)
    return sizes


@pytest.mark.parametrize("name", ["cifar-linear", "cifar"])
def test_the_number_of_threads_changes_nothing(name: str) -> None:
    pgd = replace(PgdSettings.from_card(store.load_card(name).protocol["pgd"]), steps=2)
    net, found = load_net(name), {}
    for threads in (1, 2, 3):
        with torch_threads(threads):
            found[threads] = set_delta(net, IMAGES.images, IMAGES.labels, pgd)
            assert torch.get_num_threads() == threads
    assert torch.equal(found[1], found[2]) and torch.equal(found[1], found[3])
    assert 0 < found[1].abs().max() <= 8 and found[1].dtype == torch.int16


def test_each_batch_has_draws_of_its_own() -> None:
    images, labels = IMAGES.images[:1].repeat(20, 1, 1, 1), IMAGES.labels[:1].repeat(20)
    first, second = set_delta(load_net("cifar-linear"), images, labels, settings()).split(10)
    assert not torch.equal(first, second)  # though the images are alike
    alone = set_delta(load_net("cifar-linear"), images[:10], labels[:10], settings())
    assert torch.equal(alone, first)  # however many come after them


def test_progress_is_reported_by_the_caller_and_grows() -> None:
    reported, callers = list[int](), set[int]()

    def report(done: int) -> None:
        reported.append(done)
        callers.add(threading.get_ident())

    with torch_threads(3):
        set_delta(
            load_net("cifar-linear"), IMAGES.images[:45], IMAGES.labels[:45], settings(), progress=report
        )
    assert len(reported) == 5 and reported == sorted(set(reported)) and reported[-1] == 45
    assert callers == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_that_are_missing_in_the_middle_are_made_and_no_others(
    threads: int, monkeypatch, tmp_path
) -> None:
    whole, _ = delta(tmp_path)
    (tmp_path / "00001.npz").unlink()
    (tmp_path / "00003.npz").write_bytes(b"damaged")
    sizes = drawn(monkeypatch)
    with torch_threads(threads):
        again, reported = delta(tmp_path)
    assert torch.equal(again, whole)
    assert sizes == [10, 10] and reported == [30, 40, 50]


@pytest.mark.parametrize("threads", [2, 3])
def test_an_interruption_of_several_threads_keeps_what_is_whole(threads: int, tmp_path) -> None:
    whole, _ = delta()
    with torch_threads(threads), pytest.raises(KeyboardInterrupt):
        delta(tmp_path, stop_after=20)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert len(names) >= 2 and all(name.endswith(".npz") for name in names)
    with torch_threads(5 - threads):
        resumed, reported = delta(tmp_path)
    assert torch.equal(resumed, whole) and reported[0] == 10 * len(names)


class Slow(nn.Module):
    """Takes a while for each answer, and has none for a batch of black images."""

    answers = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.detach().mean() < 0.1:
            raise RuntimeError("this batch is a bad one")
        self.answers += 1
        time.sleep(0.05)
        return images.mean((2, 3))


def test_an_exception_in_a_batch_ends_the_others_and_keeps_what_is_done(tmp_path) -> None:
    images = torch.full((200, 3, 8, 8), 200, dtype=torch.uint8)
    images[20:30] = 0  # the third batch
    chosen = PgdSettings(steps=4, gray=False, augment=None)
    net = Slow().eval()
    with torch_threads(2), pytest.raises(RuntimeError, match="a bad one"):
        set_delta(net, images, torch.zeros(200, dtype=torch.int64), chosen, parts=tmp_path)
    assert net.answers < 30  # of 80
    kept = sorted(tmp_path.iterdir())
    assert kept and all(np.load(file)["delta"].shape == (10, 3, 8, 8) for file in kept)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spread")]


def test_parts_of_another_scheme_are_not_taken_up(monkeypatch, tmp_path) -> None:
    delta(tmp_path)
    monkeypatch.setattr(sets, "_SCHEME", "one generator for all")
    assert delta(tmp_path)[1][0] == 10


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
