from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.evaluation.own_surrogates import find_surrogate, needs_training, ships
from ulecli.surrogates.recipe import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread", "hasty")

TEN = shapes(40)
TWO = replace(TEN.subset(TEN.labels < 2), classes=TEN.classes[:2])


@pytest.fixture
def hasty(monkeypatch, tmp_path) -> None:
    """A recipe of three batches, and a cache of the test's own."""
    monkeypatch.setitem(RECIPES, "cifar-linear", replace(RECIPES["cifar-linear"], batches=3, batch_size=20))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def steps(images: ImageSet, seed: int = 0) -> tuple[dict[str, torch.Tensor], int]:
    """Return the weights that are found, and how many steps were trained for them."""
    reported: list[int] = []
    found = find_surrogate(
        "cifar-linear", images, seed, progress=lambda _, done, total: reported.append(done)
    )
    assert not found.net.training and not any(one.requires_grad for one in found.net.parameters())
    return found.net.state_dict(), len(reported)


def test_what_ships_needs_no_training() -> None:
    assert ships("cifar-linear", 10) and not ships("cifar-linear", 2) and not ships("no-such", 10)
    assert needs_training("cifar-linear", TEN) is None
    assert steps(TEN)[1] == 0


def test_a_trained_one_is_kept_for_the_next_run() -> None:
    training = needs_training("cifar-linear", TWO)
    assert training is not None and training.done == 0
    first, count = steps(TWO)
    assert count == 3 and needs_training("cifar-linear", TWO) is None
    again, count = steps(TWO)
    assert count == 0 and all(torch.equal(again[name], value) for name, value in first.items())


@pytest.mark.parametrize("what", ["seed", "images", "recipe"])
def test_other_things_need_another_one(what: str, monkeypatch) -> None:
    steps(TWO)
    if what == "recipe":
        monkeypatch.setitem(RECIPES, "cifar-linear", replace(RECIPES["cifar-linear"], batches=4))
    images = replace(TWO, images=TWO.images ^ 1) if what == "images" else TWO
    assert steps(images, seed=int(what == "seed"))[1] == RECIPES["cifar-linear"].batches


def test_a_damaged_one_is_trained_again(tmp_path) -> None:
    first, _ = steps(TWO)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    again, count = steps(TWO)
    assert count == 3 and all(torch.equal(again[name], value) for name, value in first.items())
