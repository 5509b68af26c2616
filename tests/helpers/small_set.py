from __future__ import annotations

import numpy as np
import torch

from ulecli.data.images import ImageSet


def small_set() -> ImageSet:
    """24 images of 4 classes, 10 wide and 8 high, smooth enough to be told apart, with black and white."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 3, 4, 5)).repeat(2, 2).repeat(2, 3)
    pixels = np.clip(coarse + rng.integers(-10, 11, coarse.shape), 0, 255).astype(np.uint8)
    return ImageSet(torch.from_numpy(pixels), torch.arange(24) * 7 % 4, ("ant", "bee", "cat", "dog"))
