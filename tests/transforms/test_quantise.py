from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from ulecli.errors import UsageError
from ulecli.transforms.quantise import posterize, posterize_levels, whole_levels

ALL_LEVELS = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_level_survives_rounding(dtype):
    images = (ALL_LEVELS.double() / 255).to(dtype)
    assert torch.equal(whole_levels(images), ALL_LEVELS.to(dtype))


def test_rounding_takes_the_nearest_level_and_clamps():
    images = torch.tensor([-0.3, 0.49 / 255, 0.51 / 255, 254.4 / 255, 1.7]).view(1, 1, 1, 5)
    assert whole_levels(images).flatten().tolist() == [0, 0, 1, 254, 255]


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_levels_equals_pillow(bits):
    generator = torch.Generator().manual_seed(bits)
    levels = torch.randint(0, 256, (2, 3, 9, 7), generator=generator, dtype=torch.uint8)
    pillow = [ImageOps.posterize(Image.fromarray(one.movedim(0, 2).numpy()), bits) for one in levels]
    expected = torch.from_numpy(np.stack([np.asarray(picture) for picture in pillow])).movedim(3, 1)
    assert torch.equal(posterize_levels(levels, bits), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_equals_posterize_levels_on_all_levels(bits, dtype):
    images = (ALL_LEVELS.double() / 255).to(dtype)
    assert torch.equal(posterize(images, bits), posterize_levels(ALL_LEVELS, bits).to(dtype) / 255)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_out_of_range(bits):
    with pytest.raises(UsageError, match="choose 1 to 8"):
        posterize(torch.rand(1, 1, 2, 2), bits)
    with pytest.raises(UsageError, match="choose 1 to 8"):
        posterize_levels(ALL_LEVELS, bits)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 2, 8, 8), (1, 4, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\)"):
        whole_levels(torch.rand(shape))
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\)"):
        posterize_levels(torch.zeros(shape, dtype=torch.uint8), 2)


def test_the_scales_are_not_confused():
    with pytest.raises(ValueError, match="unit scale"):
        whole_levels(ALL_LEVELS)
    with pytest.raises(ValueError, match="uint8"):
        posterize_levels(torch.rand(1, 3, 4, 4), 2)
