from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from ulecli.crafting.adversarial import away_from_class, next_class, trained_net
from ulecli.crafting.methods import Request, craft
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import UsageError

IMAGES = shapes(200)
CLASSES = len(IMAGES.classes)


@cache
def net() -> nn.Module:
    """The clean-trained net that the requests below are carried out with."""
    return trained_net("linear", IMAGES, seed=0, device="cpu")


def seen(images: ImageSet) -> torch.Tensor:
    """What it takes images for."""
    return net()(images.images / 255).argmax(1)


def test_the_net_learns_the_clean_images() -> None:
    """As far as a linear net can, whose images are shifted by up to four pixels; guessing gets 0.1."""
    assert (seen(IMAGES) == IMAGES.labels).float().mean() > 0.3


def test_each_image_looks_like_the_next_class() -> None:
    made = craft("advpois", IMAGES, Request(surrogate="linear"))
    assert (seen(made.images) == next_class(IMAGES.labels, CLASSES)).float().mean() > 0.75
    assert (made.images.images.int() - IMAGES.images).abs().max() == 8


def test_each_image_looks_like_any_other_class() -> None:
    made = craft("error-max", IMAGES, Request(surrogate="linear"))
    assert (seen(made.images) == IMAGES.labels).float().mean() < 0.1
    assert (made.images.images.int() - IMAGES.images).abs().max() == 8


def test_targets_sum_to_nothing_so_that_no_constant_moves() -> None:
    targets = away_from_class(torch.tensor([0, 2]), 3)
    assert torch.allclose(targets.sum(1), torch.zeros(2))
    assert targets[0].tolist() == [1.0, -0.5, -0.5]


@pytest.mark.parametrize("wrong", [{"classwise": True}, {"as_published": True}, {"changes": {"rounds": 2}}])
def test_what_belongs_to_the_loop_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="forms of ULEO"):
        craft("advpois", IMAGES, Request(surrogate="linear", **wrong))
