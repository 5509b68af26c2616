from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.errors import UleError

IMAGES = (torch.arange(4 * 3 * 2 * 2) % 256).to(torch.uint8).view(4, 3, 2, 2)
SMALL = ImageSet(IMAGES, torch.tensor([0, 1, 0, 1]), ("a", "b"))


@pytest.mark.parametrize("indices", [[3, 0], torch.tensor([3, 0])])
def test_subset_takes_indices_in_their_order(indices: torch.Tensor | list[int]) -> None:
    found = SMALL.subset(indices)
    assert torch.equal(found.images, torch.stack([IMAGES[3], IMAGES[0]]))
    assert found.labels.tolist() == [1, 0]


def test_subset_takes_masks_and_keeps_classes() -> None:
    found = SMALL.subset(SMALL.labels == 1)
    assert torch.equal(found.images, IMAGES[1::2])
    assert found.classes == ("a", "b")
    assert len(SMALL.subset([])) == 0
    with pytest.raises(IndexError):
        SMALL.subset([4])


def test_firsts_are_those_of_the_classes_that_have_one() -> None:
    found = ImageSet(IMAGES, torch.tensor([3, 0, 3, 1]), ("a", "b", "none", "d"))
    assert (found.firsts(9), found.firsts(2)) == ([1, 3, 0], [1, 3])


def test_delta_is_added_in_levels_tied_or_free_and_clamped() -> None:
    tied = torch.full((4, 1, 2, 2), -300, dtype=torch.int16)
    assert SMALL.plus(tied).images.max() == 0
    free = torch.zeros(4, 3, 2, 2, dtype=torch.int16)
    free[:, 2] = 1
    assert torch.equal(SMALL.plus(free).images - IMAGES, free.to(torch.uint8))
    of_each = torch.tensor([1, 3], dtype=torch.int16)[:, None, None, None]
    changed = SMALL.plus(of_each, SMALL.labels)
    assert torch.equal(changed.images - IMAGES, of_each[SMALL.labels].expand_as(IMAGES).to(torch.uint8))
    assert torch.equal(changed.labels, SMALL.labels) and changed.classes == SMALL.classes


def test_digest_is_the_md5_of_what_it_says() -> None:
    content = b"((4, 3, 2, 2), ('a', 'b'))" + bytes(IMAGES.flatten().tolist())
    content += b"".join(label.to_bytes(8, "little") for label in (0, 1, 0, 1))
    assert SMALL.digest == hashlib.md5(content).hexdigest()


def test_digest_sees_every_part_and_no_layout() -> None:
    others = [
        replace(SMALL, images=IMAGES.flip(0)),
        replace(SMALL, images=IMAGES.view(4, 3, 1, 4)),
        replace(SMALL, labels=torch.tensor([0, 1, 1, 1])),
        replace(SMALL, classes=("a", "c")),
    ]
    assert len({SMALL.digest, *(other.digest for other in others)}) == 5
    last = IMAGES.contiguous(memory_format=torch.channels_last)
    assert replace(SMALL, images=last).digest == SMALL.digest


def test_digest_of_a_data_set_knows_train_from_test() -> None:
    other = SMALL.subset([0, 1])
    one, two = Dataset("x", SMALL, other), Dataset("x", other, SMALL)
    assert one.digest != two.digest
    assert one.digest == Dataset("y", SMALL, other).digest


def test_data_set_refuses_classes_that_do_not_fit() -> None:
    with pytest.raises(UleError, match=r"different classes \(b, c\)"):
        Dataset("x", SMALL, replace(SMALL, classes=("a", "c")))
    alone = ImageSet(IMAGES, torch.zeros(4, dtype=torch.int64), ("a",))
    with pytest.raises(UleError, match="class a alone"):
        Dataset("x", alone, alone)
