"""Groups of alike images: the labels that a surrogate with many codes learns first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ulecli.transforms import gray
from ulecli.units import LEVELS

ROUNDS = 15
"""Of Lloyd's algorithm; by then few images of CIFAR-10 still change their group."""


def alike(images: Tensor, groups: int, *, seed: int) -> Tensor:
    """Sort images into groups by brightness and edges on a 4 x 4 grid, with k-means.

    Random codes have nothing to do with the images, and a fresh net takes thousands of steps to find a cue
    for them. Groups of alike images are learned within dozens, and what the net learns for them are features
    that natural images have in varying strength, which is what a good cue is made of.

    Args:
        images: (M, 3, H, W) uint8.
        groups: Number K of groups.
        seed: Decides the first centres.

    Returns:
        (M,) int64, the group of each image, 0 to K-1.
    """
    features = torch.cat([_features(batch) for batch in torch.split(images, 5000)])
    features = features - features.mean(0)
    features /= features.std()
    generator = torch.Generator().manual_seed(seed)
    centres = features[torch.randperm(len(features), generator=generator)[:groups]]
    for _ in range(ROUNDS):
        nearest = torch.cdist(features, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, features)
        counts = torch.bincount(nearest, minlength=groups)[:, None]
        centres = torch.where(counts > 0, sums / counts.clip(1), centres)
    return torch.cdist(features, centres).argmin(1)


def _features(images: Tensor) -> Tensor:
    luma = gray(images.float() / LEVELS)
    across = functional.pad(luma.diff(dim=3), (0, 1))
    down = functional.pad(luma.diff(dim=2), (0, 0, 0, 1))
    # Weighted so that brightness, edges and their slant have about equal say.
    planes = (0.5 * luma, 3 * across.abs(), 3 * down.abs(), 20 * across * down)
    return torch.cat([functional.adaptive_avg_pool2d(plane, 4).flatten(1) for plane in planes], dim=1)
