from __future__ import annotations

import pytest
import torch

from ulecli.crafting.bilevel import Bilevel
from ulecli.crafting.methods import METHODS, Request, craft, identity, loop_settings
from ulecli.data.shapes import shapes
from ulecli.errors import UsageError

IMAGES = shapes(200)
QUICK = {"rounds": 1, "training_steps": 1, "steps": 2}


@pytest.mark.parametrize(
    ("name", "gray", "augment"),
    [
        ("uleo", False, False),
        ("uleo-augs", False, True),
        ("uleo-grays", True, False),
        ("uleo-grayaugs", True, True),
    ],
)
def test_the_forms_are_those_of_the_papers_table_2(name: str, gray: bool, augment: bool) -> None:
    settings = loop_settings(name, Request())
    assert (settings.gray, settings.augment) == (gray, augment)
    made = craft(name, IMAGES, Request(surrogate="linear", changes=QUICK))
    change = made.images.images.int() - IMAGES.images
    inside = ((IMAGES.images > 8) & (IMAGES.images < 247)).all(1)  # where nothing is clamped
    tied = (change.amax(1) == change.amin(1))[inside]
    assert bool(tied.all()) is gray
    assert len(made.errors) == 1 and len(made.remarks) == 1
    assert torch.equal(made.images.labels, IMAGES.labels)


def test_one_delta_for_each_class_goes_to_its_images_however_few_they_are() -> None:
    firsts = [int((IMAGES.labels == label).nonzero()[0]) for label in range(len(IMAGES.classes))]
    few = IMAGES.subset(firsts[::-1])  # as many as classes, in another order
    made = craft("uleo", few, Request(surrogate="linear", classwise=True, changes=QUICK))
    settings = loop_settings("uleo", Request(surrogate="linear", classwise=True, changes=QUICK))
    delta = Bilevel(few, settings, net="linear", epsilon=8, seed=0).run().delta
    wanted = few.plus((delta[few.labels].float() * 255).round())
    assert torch.equal(made.images.images, wanted.images)


def test_what_decides_a_poison_is_in_its_identity() -> None:
    requests = [Request(), Request(surrogate="mlp"), Request(as_published=True), Request(classwise=True)]
    requests.append(Request(changes={"steps": 3}))
    found = {identity("uleo", one) for one in requests} | {identity("uleo-augs", Request())}
    found |= {identity("advpois", Request()), identity("error-max", Request())}
    assert len(found) == len(requests) + 3


def test_unknown_names_are_refused() -> None:
    for name, more in (("uleo-gray", {}), ("uleo", {"surrogate": "resnet"}), ("uleo", {"epsilon": 0})):
        with pytest.raises(UsageError):
            craft(name, IMAGES, Request(**more))
    with pytest.raises(UsageError, match="no bi-level loop"):
        loop_settings("advpois", Request())


def test_every_method_says_what_it_is() -> None:
    assert all(one.words and (one.form is None) != (one.targets is None) for one in METHODS.values())
