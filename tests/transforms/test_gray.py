from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ulecli.system.torchvision_shim import import_torchvision
from ulecli.transforms.gray import gray, gray_adjoint, gray_levels


def corners_and_noise() -> torch.Tensor:
    """Return (1, 3, 128, 130) uint8: the corners and edges of the RGB cube, all grays, and random colours."""
    extremes = torch.cartesian_prod(*[torch.tensor([0, 1, 127, 128, 254, 255], dtype=torch.uint8)] * 3)
    grays = torch.arange(256, dtype=torch.uint8)[:, None].expand(-1, 3)
    noise = torch.randint(
        0, 256, (128 * 130, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return torch.cat([extremes, grays, noise])[: 128 * 130].T.reshape(1, 3, 128, 130)


def test_gray_levels_equals_pillow_bit_by_bit():
    levels = corners_and_noise()
    pillow = Image.fromarray(levels[0].movedim(0, 2).numpy()).convert("L")
    expected = torch.from_numpy(np.array(pillow))
    seen = gray_levels(levels)
    assert seen.shape == (1, 3, 128, 130)
    assert all(torch.equal(channel, expected) for channel in seen[0])


def test_gray_levels_equals_torchvisions_grayscale_of_a_photo():
    levels = corners_and_noise()
    picture = import_torchvision().transforms.Grayscale(3)(Image.fromarray(levels[0].movedim(0, 2).numpy()))
    assert torch.equal(gray_levels(levels)[0], torch.from_numpy(np.array(picture)).movedim(2, 0))


def test_gray_levels_repeats_one_channel():
    levels = corners_and_noise()[:, :1]
    assert torch.equal(gray_levels(levels), levels.repeat(1, 3, 1, 1))


def test_gray_is_within_half_a_level_of_the_stored_gray():
    levels = corners_and_noise()
    difference = gray(levels.double() / 255) * 255 - gray_levels(levels)[:, :1]
    assert difference.abs().max() <= 0.51  # half a level, and Pillow's weights end after 16 bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gray_leaves_a_picture_without_colour_untouched(dtype):
    luma = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert torch.equal(gray(luma.expand(-1, 3, -1, -1)), luma)
    assert gray(luma) is luma


def test_gradient_of_gray_is_its_weights():
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    gray(images).sum().backward()
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(images.grad, weights.expand_as(images))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_adjoint_of_gray_in_as_many_channels_is_autograds(channels):
    images = torch.rand(2, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, channels, 4, 4, dtype=torch.float64)
    gray(images).expand_as(images).backward(upstream)
    torch.testing.assert_close(gray_adjoint(upstream), images.grad)


def test_misuse():
    with pytest.raises(ValueError, match="C of 1 or 3"):
        gray(torch.rand(1, 4, 8, 8))
    with pytest.raises(ValueError, match="uint8"):
        gray_levels(torch.rand(1, 3, 8, 8))
