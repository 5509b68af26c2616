from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ulecli.data.datasets import open_dataset
from ulecli.data.shapes import shapes
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.exploiters.training import train_exploiter

pytestmark = pytest.mark.usefixtures("one_thread")


def test_same_bits_on_every_machine() -> None:
    found = open_dataset("shapes")
    assert found.train.digest == "c316ce80558e8d246b9bcd4677ce9a26"
    assert found.test.digest == "24d4c74d42565bef52331e518d2c68ea"


def test_classes_take_turns() -> None:
    found = shapes(40, seed=3)
    assert found.images.shape == (40, 3, 32, 32)
    assert found.labels.tolist() == list(range(10)) * 4
    assert len(set(found.classes)) == 10


def test_the_seed_decides_the_pictures() -> None:
    assert torch.equal(shapes(20, seed=1).images, shapes(20, seed=1).images)
    assert not torch.equal(shapes(20, seed=1).images, shapes(20, seed=2).images)
    found = open_dataset("shapes")
    assert not {bytes(p.numpy()) for p in found.train.images} & {bytes(p.numpy()) for p in found.test.images}


@pytest.mark.slow
def test_preset_quick_learns_them_in_seconds_even_in_gray() -> None:
    found = open_dataset("shapes")
    protocol = replace(PRESETS["quick"].small, epochs=5)
    result = train_exploiter(found.train, found.test, protocol, find_exploiter("gray"), 0)
    assert result.last > 90


def test_colour_says_nothing_of_the_class() -> None:
    found = open_dataset("shapes")
    train, test = (part.images.double().mean((2, 3)).numpy() for part in (found.train, found.test))
    labels = found.train.labels.numpy()
    centres = np.stack([train[labels == label].mean(0) for label in range(10)])
    nearest = ((test[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (nearest == found.test.labels.numpy()).mean() < 0.2
