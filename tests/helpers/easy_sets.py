"""Small sets and nets that the tests of exploiters share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ulecli.data.images import ImageSet
from ulecli.evaluation.exploiters.batches import Shift
from ulecli.evaluation.exploiters.protocol import PRESETS, Protocol

TINY: Protocol = replace(
    PRESETS["quick"].small,
    epochs=4,
    batch_size=20,
    rate=0.02,
    augment=Shift(2, "reflect", alternate=True),
    settings={"widths": (8, 16)},
    least_steps=0,
)
"""The net and the recipe of preset quick, for a few hundred images of 16 x 16."""


def stripes(count: int, seed: int, *, hue: bool = False) -> ImageSet:
    """Noise of 16 x 16 with stripes across or down, or as bright in red as in green where colour tells."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.normal(110, 25, (count, 1, 16, 16)) * np.ones((1, 3, 1, 1))
    if hue:
        pixels[labels == 0, 0] += 60  # as much luma as 30.6 levels of green
        pixels[labels == 1, 1] += 30.6
    else:
        wave = 50 * np.where(np.arange(16) % 4 < 2, 1, -1)
        first = labels[:, None, None, None] == 0
        pixels += np.where(first, wave[None, None, :, None], wave[None, None, None, :])
    levels = np.clip(pixels, 0, 255).astype(np.uint8)
    return ImageSet(torch.from_numpy(levels), torch.from_numpy(labels), ("one", "two"))


def random_levels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def linear_net(classes: int, *shape: int, seed: int = 0) -> nn.Sequential:
    """A linear net on images of a shape, float32 throughout."""
    layer = nn.Linear(int(np.prod(shape)), classes)
    weights = np.random.default_rng(seed).normal(0, 1, layer.weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.zero_()
    net = nn.Sequential(nn.Flatten(), layer)
    net.mixed = False  # type: ignore[assignment]
    return net
