"""Clean images as nets see them that learn from them: cropped and flipped anew each time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ulecli.crafting.settings import SHIFT
from ulecli.transforms.crops import cropped, padded
from ulecli.units import LEVELS


class CroppedImages:
    """A set of images that lies on a device as a whole.

    Args:
        images: (N, 3, H, W) uint8.
        device: Where they shall be.
    """

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self._levels, self._device = padded(images, SHIFT).to(device), device
        self._side = (images.shape[2], images.shape[3])

    def batch(self, chosen: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Return some of the images, (B, 3, H, W) unit scale.

        Args:
            chosen: (B,) int64 on the device, which of them.
            rng: Decides where each is cropped and whether it is flipped; None for as they are.
        """
        count = len(chosen)
        down, right = torch.full((2, count), SHIFT, device=self._device)
        flipped = torch.zeros(count, dtype=torch.bool, device=self._device)
        if rng is not None:
            down, right = torch.from_numpy(rng.integers(0, 2 * SHIFT + 1, (2, count))).to(self._device)
            flipped = torch.from_numpy(rng.random(count) < 0.5).to(self._device)
        return cropped(self._levels, chosen, self._side, down, right, flipped).float() / LEVELS
