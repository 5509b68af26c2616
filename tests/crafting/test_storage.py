from __future__ import annotations

import numpy as np
import pytest
import torch

from ulecli.crafting.storage import whole_levels
from ulecli.data.shapes import shapes

IMAGES = shapes(40)


def drawn(channels: int, count: int = len(IMAGES)) -> torch.Tensor:
    """Delta in multiples of 0.8 levels, up to 8, as the published steps make it."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(-10, 11, (count, channels, 32, 32)) * 0.8 / 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_rounded_once_and_clamped(channels: int) -> None:
    delta = drawn(channels)
    found = IMAGES.plus(whole_levels(delta.half())).images.numpy()
    wanted = np.clip(IMAGES.images.numpy() + np.rint(delta.numpy() * 255), 0, 255)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_published_code_keeps_what_brightens_and_truncates(channels: int) -> None:
    """As written there: delta * 255 clamped to 0 and 255, added in float32, clipped, astype(uint8)."""
    delta = drawn(channels)
    gray = (0.2989 + 0.587 + 0.114) if channels == 1 else 1.0
    noise = np.clip(delta.numpy() * gray * 255, 0, 255)
    noise = np.where(np.isclose(noise, np.rint(noise), atol=1e-6), np.rint(noise), noise)  # 8.0, not 7.999999
    wanted = np.clip(IMAGES.images.numpy() + noise, 0, 255).astype(np.uint8)
    found = IMAGES.plus(whole_levels(delta.half(), published=True)).images.numpy()
    assert np.array_equal(found, wanted)
    change = found.astype(int) - IMAGES.images.numpy()
    assert change.min() == 0 and change.max() == (7 if channels == 1 else 8)
