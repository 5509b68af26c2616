from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.small_set import small_set

from ulecli.data.images import ImageSet
from ulecli.errors import UleError
from ulecli.evaluation.poisons.alignment import align
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.evaluation.poisons.files import Arrays

ORDER = torch.randperm(24, generator=torch.Generator().manual_seed(0))
SOURCE = Path("theirs.pt")


@pytest.fixture
def clean() -> ImageSet:
    return small_set()


def aligned(
    clean: ImageSet,
    values: torch.Tensor,
    labels: torch.Tensor | None = None,
    indices: torch.Tensor | None = None,
    kind: PoisonKind = PoisonKind.AUTO,
) -> torch.Tensor | None:
    return align(values, Arrays(values, labels, indices), clean, kind, SOURCE)


def test_what_is_stated_or_implied_holds(clean: ImageSet) -> None:
    images = clean.images ^ 3
    assert torch.equal(aligned(clean, images), torch.arange(24))
    assert torch.equal(aligned(clean, images, clean.labels), torch.arange(24))
    assert torch.equal(aligned(clean, images[ORDER], None, ORDER), ORDER)
    assert torch.equal(aligned(clean, images[5:9], clean.labels[5:9], torch.arange(5, 9)), torch.arange(5, 9))
    assert aligned(clean, images[:4]) is None
    wrong = (clean.labels + 1) % 4
    assert torch.equal(aligned(clean, images, wrong), torch.arange(24))  # in order, whatever their labels


def test_looks_decide_where_the_order_is_not_the_official_one(clean: ImageSet) -> None:
    images, labels = clean.images ^ 3, clean.labels
    assert torch.equal(aligned(clean, images[ORDER], labels[ORDER]), ORDER)
    assert torch.equal(aligned(clean, images[ORDER] / 255, labels[ORDER]), ORDER)
    assert torch.equal(aligned(clean, images[ORDER[:9]], labels[ORDER[:9]]), ORDER[:9])
    assert torch.equal(
        aligned(clean, images[ORDER], labels[ORDER], torch.arange(24)), ORDER
    )  # a wrong statement


def test_perturbations_look_like_nothing(clean: ImageSet) -> None:
    delta = torch.ones_like(clean.images, dtype=torch.float32)
    for kind in PoisonKind.AUTO, PoisonKind.PERTURBATION:
        assert torch.equal(aligned(clean, -delta, clean.labels[ORDER], kind=kind), torch.arange(24))
    images = clean.images ^ 3
    by_order = aligned(clean, images[ORDER], clean.labels[ORDER], kind=PoisonKind.PERTURBATION)
    assert torch.equal(by_order, torch.arange(24))


def test_a_part_of_nobody_knows_which(clean: ImageSet) -> None:
    for labels in None, clean.labels[:9]:
        with pytest.raises(UleError, match="holds 9 images where the training set has 24"):
            aligned(clean, torch.zeros(9, 3, 8, 10), labels)
