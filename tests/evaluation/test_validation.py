from __future__ import annotations

import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.errors import UsageError
from ulecli.evaluation.validation import validation_places


def labelled(*counts: int) -> ImageSet:
    """Images whose labels are mixed, so many of each class."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    images = torch.zeros(len(labels), 3, 2, 2, dtype=torch.uint8)
    return ImageSet(images, labels, tuple(f"class {label}" for label in range(len(counts))))


@pytest.mark.parametrize(("share", "expected"), [(0.02, [2, 1, 4]), (0.1, [10, 3, 20]), (0.5, [50, 15, 100])])
def test_each_class_gives_the_same_share_of_itself(share: float, expected: list[int]) -> None:
    images = labelled(100, 30, 200)
    places = validation_places(images, share)
    assert places.tolist() == sorted(set(places.tolist()))
    assert torch.bincount(images.labels[places]).tolist() == expected


def test_the_same_images_are_drawn_every_time_and_not_the_first() -> None:
    images = labelled(100, 100)
    places = validation_places(images, 0.1)
    assert torch.equal(places, validation_places(images, 0.1))
    assert int(places.max()) > 100


def test_without_a_share_there_is_none() -> None:
    assert len(validation_places(labelled(3, 1), 0.0)) == 0


def test_a_class_that_would_have_none_is_named() -> None:
    with pytest.raises(UsageError, match=r"--validation 0\.02 of the 20 images of class class 1 is none"):
        validation_places(labelled(100, 20), 0.02)
