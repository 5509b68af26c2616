from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ulecli.crafting.cropped_images import CroppedImages
from ulecli.data.shapes import shapes

LEVELS = shapes(20).images
IMAGES = CroppedImages(LEVELS, torch.device("cpu"))
CHOSEN = torch.tensor([3, 0, 19, 3])


def test_without_a_generator_images_are_as_they_are() -> None:
    assert torch.equal(IMAGES.batch(CHOSEN), LEVELS[CHOSEN] / 255)


def test_each_is_a_crop_of_its_padded_image_flipped_or_not() -> None:
    found = IMAGES.batch(CHOSEN, np.random.default_rng(2))
    assert not torch.equal(found, LEVELS[CHOSEN] / 255)
    for image, number in zip(found, CHOSEN, strict=True):
        wide = functional.pad(LEVELS[number] / 255, (4, 4, 4, 4))
        crops = [wide[:, top : top + 32, left : left + 32] for top in range(9) for left in range(9)]
        assert any(torch.equal(image, one) or torch.equal(image, one.flip(2)) for one in crops)
    assert torch.equal(found, IMAGES.batch(CHOSEN, np.random.default_rng(2)))
