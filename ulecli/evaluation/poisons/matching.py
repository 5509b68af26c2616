"""Which image of the clean training set each image of a poison was made from, by what they look like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ulecli.data.images import ImageSet
from ulecli.evaluation.poisons.content import chunks

_COMPARED = 256
"""Images, evenly spaced, that are compared with originals to see what order they are in."""

_SIDE = 16
"""Side in pixels that those are averaged down to before they are compared."""

_COARSE = 8
"""Side in pixels that all images are averaged down to before they are matched."""

_ALIKE = 0.7
"""An original is the one that an image was made from if the next one is farther by this factor at least."""

_LEFT = 0.05
"""Share of the images that may be nearest to an original which another image is nearest to."""

_ROWS = 1024
"""Images whose distances to all originals are in memory at the same time."""


def nearer_to_others(images: Tensor, originals: Tensor, scale: int = 1) -> float:
    """Return the share of up to 256 images that are nearer to the original of another of them than to theirs.

    Args:
        images: (N, C, H, W) of any real dtype, C of 1 or 3.
        originals: (N, 3, H, W) uint8, in the order that the images are said to have.
        scale: Levels for each step of 1 of the images.
    """
    some = _spread(len(originals), _COMPARED)
    ours, theirs = averaged(images[some], _SIDE, scale), averaged(originals[some], _SIDE)
    distances = _distances(ours, theirs)
    return float((distances.min(1).values < distances.diagonal()).float().mean())


def misplaced(images: Tensor, originals: Tensor) -> float:
    """Return the share of up to 256 images that were clearly made from another image than the one in place.

    Unlike images that are nearer to others, these have a look-alike in the whole set: a poison that hides
    what it was made from is not misplaced by that.

    Args:
        images: (N, 3, H, W) uint8.
        originals: (N, 3, H, W) uint8.
    """
    some = _spread(len(originals), _COMPARED)
    distances = _distances(averaged(images[some], _COARSE), averaged(originals, _COARSE))
    own = distances[torch.arange(len(some)), some]
    nearest = distances.topk(min(2, len(originals)), largest=False).values
    clear = (nearest[:, 0] < _ALIKE * own) & (nearest[:, 0] <= _ALIKE * nearest[:, -1])
    return float(clear.float().mean())


def match(images: Tensor, labels: Tensor, clean: ImageSet, scale: int = 1) -> Tensor | None:
    """Find the clean image of the same label that each image was made from.

    Args:
        images: (n, C, H, W) of any real dtype, C of 1 or 3, finite.
        labels: (n,) int64.
        clean: The training set.
        scale: Levels for each step of 1 of the images.

    Returns:
        (n,) int64 different places in the clean set; None where the images are not some of that set.
    """
    ours, theirs = averaged(images, _COARSE, scale), averaged(clean.images, _COARSE)
    places = torch.empty(len(images), dtype=torch.int64)
    sure = torch.empty(len(images), dtype=torch.bool)
    for label in torch.unique(labels).tolist():
        mine = (labels == label).nonzero().flatten()
        own = (clean.labels == label).nonzero().flatten()
        if len(mine) > len(own):
            return None
        nearest, alike = _nearest(ours[mine], theirs[own])
        found = _one_each(nearest, len(own))
        if found is None:
            return None
        places[mine], sure[mine] = own[found], alike
    return places if sure.float().mean() > 0.5 else None  # twins are few, and so are those near to no one


def averaged(images: Tensor, side: int, scale: int = 1) -> Tensor:
    """Return images in levels as rows (n, 3 · side²) float32, averaged down to a side; fewer if smaller."""
    size = (min(side, images.shape[2]), min(side, images.shape[3]))
    parts = [
        functional.adaptive_avg_pool2d(images[part].float() * scale, size).expand(-1, 3, -1, -1).flatten(1)
        for part in chunks(len(images), images[0].numel())
    ]
    return torch.cat(parts)


def _spread(count: int, most: int) -> Tensor:
    """Return up to `most` places of `count`, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).long()


def _distances(ours: Tensor, theirs: Tensor) -> Tensor:
    return torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist")


def _nearest(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of ours which of theirs is nearest, (n,), and whether the next one is much farther."""
    nearest, alike = [], []
    for start in range(0, len(ours), _ROWS):
        # By products of matrices, which is many times as fast and exact enough for what is not very near.
        distances = torch.cdist(ours[start : start + _ROWS], theirs)
        best = distances.topk(min(2, len(theirs)), largest=False)
        nearest.append(best.indices[:, 0])
        alike.append(
            best.values[:, 0] <= _ALIKE * best.values[:, -1] if len(theirs) > 1 else nearest[-1] == 0
        )
    return torch.cat(nearest), torch.cat(alike)


def _one_each(nearest: Tensor, count: int) -> Tensor | None:
    """Return different places of 0 to `count` - 1, the nearest ones but for a few; None if many clash."""
    taken = torch.zeros(count, dtype=torch.bool)
    found, left = nearest.clone(), []
    for number, place in enumerate(nearest.tolist()):
        if taken[place]:
            left.append(number)
        taken[place] = True
    if len(left) > _LEFT * len(nearest):
        return None
    if left:
        found[left] = (~taken).nonzero().flatten()[: len(left)]
    return found
