from __future__ import annotations

import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.evaluation.poisons.matching import match, misplaced, nearer_to_others


@pytest.fixture(scope="module")
def clean() -> ImageSet:
    return shapes(300)


def drawn(*size: int) -> torch.Tensor:
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(1))


def moved(clean: ImageSet, levels: torch.Tensor) -> torch.Tensor:
    return (clean.images + levels).clamp(0, 255).to(torch.uint8)


def blocks(clean: ImageSet) -> torch.Tensor:
    """Squares of 8 pixels that are 16 levels brighter or darker: hard to see past."""
    signs = drawn(len(clean), 3, 4, 4) // 128 * 32 - 16
    return moved(clean, signs.repeat_interleave(8, 2).repeat_interleave(8, 3))


ORDER = torch.randperm(300, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("strong", [False, True])
def test_images_are_found_again(clean: ImageSet, strong: bool) -> None:
    images = blocks(clean) if strong else moved(clean, drawn(*clean.images.shape) // 128 * 16 - 8)
    assert nearer_to_others(images, clean.images) == misplaced(images, clean.images) == 0
    assert (
        misplaced(images[ORDER], clean.images) > 0.8 and nearer_to_others(images[ORDER], clean.images) > 0.8
    )
    found = match(images[ORDER], clean.labels[ORDER], clean)
    assert found is not None and torch.equal(found, ORDER)
    some = ORDER[:70]
    found = match(images[some] / 255, clean.labels[some], clean, 255)
    assert found is not None and torch.equal(found, some)
    gray = clean.images[some].float().mean(1, keepdim=True)
    assert nearer_to_others(gray, clean.images[some]) < 0.5


def test_twins_share_their_originals(clean: ImageSet) -> None:
    twice = ImageSet(clean.images.clone(), clean.labels, clean.classes)
    same = (clean.labels == clean.labels[0]).nonzero().flatten()[1]
    twice.images[same] = twice.images[0]
    assert misplaced(twice.images, twice.images) == 0
    found = match(twice.images[ORDER], twice.labels[ORDER], twice)
    assert found is not None and len(torch.unique(found)) == 300
    assert torch.equal(twice.images[found], twice.images[ORDER])


def test_images_of_something_else_match_nothing(clean: ImageSet) -> None:
    noise = drawn(300, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)
    others = shapes(300, seed=5)
    for images in (noise, others.images, torch.zeros_like(noise)):
        assert match(images, clean.labels, clean) is None
    # They have no look-alike, so nobody can say that they are in another order.
    assert misplaced(noise, clean.images) == 0
    assert nearer_to_others(noise, clean.images) > 0.9


def test_labels_of_other_images_match_nothing(clean: ImageSet) -> None:
    assert match(clean.images[ORDER], clean.labels, clean) is None
    assert match(clean.images, torch.zeros_like(clean.labels), clean) is None
