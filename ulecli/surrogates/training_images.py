"""Where the images for surrogate training come from: ``Aug(x)`` of the paper, at the working resolution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ulecli.transforms.geometry import see
from ulecli.transforms.gray import gray
from ulecli.transforms.views import ViewPolicy
from ulecli.units import LEVELS


class WorkingImages:
    """Draws batches of augmented working images from a set of stored ones.

    Attributes:
        count: Number of stored images.
    """

    def __init__(self, stored: Tensor, augment: ViewPolicy, *, channels: int, device: torch.device) -> None:
        """Take hold of a data set.

        Args:
            stored: uint8 (M, 3, H, H).
            augment: Crop, flip and scale of each image; its single size is the side of the working image.
            channels: 1 turns the images gray, 3 leaves RGB.
            device: Where batches are made.
        """
        self.count = len(stored)
        self._stored = stored.to(device)
        self._augment = augment
        self._channels = channels

    def batch(self, indices: Tensor, rng: np.random.Generator) -> Tensor:
        """Return augmented images.

        Args:
            indices: (N,) of the stored images.
            rng: Draws crops and flips.

        Returns:
            (N, channels, S, S), unit scale.
        """
        images = self._unit(indices)
        return see(images, self._augment.draw(rng, len(images), images.shape[-1]))

    def _unit(self, indices: Tensor) -> Tensor:
        images = self._stored[indices.to(self._stored.device)].float() / LEVELS
        return gray(images) if self._channels == 1 else images
