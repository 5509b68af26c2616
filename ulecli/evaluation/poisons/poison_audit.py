"""What a poison does to the training images, measured on the whole levels that an exploiter trains on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.evaluation.poisons.content import chunks
from ulecli.evaluation.poisons.matching import misplaced, nearer_to_others
from ulecli.units import LEVELS

_ONE_SIDED = 0.01
"""Below this share of negative changes the poison only brightens: somebody set the negative half to 0."""


@dataclass(frozen=True)
class PoisonAudit:
    """What a poison does to the training images. Changes are poisoned minus clean, in levels.

    Attributes:
        source: Where the poison comes from: a path, or the name of what made it.
        kind: How the source was read, in words; empty where it was made here.
        count: Images.
        shape: Of the images: channels, height, width.
        max_change: Largest absolute change of any value.
        mean_amplitude: Mean absolute change of R, G and B.
        mean_change: Mean change of R, G and B; above 0 where the poison brightens.
        negative_share: Of the values that change, the share that falls.
        changed_share: Share of images that change at all.
        tied: Of the pixels that change, the share whose three channels change equally.
        psnr_db: Peak signal-to-noise ratio over all images, in dB; None if nothing changes.
        classwise: All images of a class change equally, but for values at 0 or 255.
        nearer_to_others: Of up to 256 images, the share that is nearer to the original of another of them
            than to its own, in mean square distance.
        misplaced: Of up to 256 images, the share that was clearly made from another image of the set.
    """

    source: str
    kind: str
    count: int
    shape: tuple[int, int, int]
    max_change: int
    mean_amplitude: tuple[float, float, float]
    mean_change: tuple[float, float, float]
    negative_share: float
    changed_share: float
    tied: float
    psnr_db: float | None
    classwise: bool
    nearer_to_others: float
    misplaced: float


def audit(images: ImageSet, clean: ImageSet, *, source: str = "", kind: str = "") -> PoisonAudit:
    """Compare a poisoned training set with the clean one, some images at a time.

    Args:
        images: What the exploiter trains on.
        clean: The official images, in the same order.
        source: Where the poison comes from, for the record.
        kind: How it was read, for the record.

    Raises:
        ValueError: The sets differ in shape or are empty.
    """
    if images.images.shape != clean.images.shape or not len(clean):
        raise ValueError(f"{tuple(images.images.shape)} against {tuple(clean.images.shape)}")
    largest = 0
    counts = torch.zeros(12, dtype=torch.float64)
    classwise = _Classwise(len(clean.classes), tuple(clean.images.shape[1:]))
    for part in chunks(len(clean), clean.images[0].numel()):
        change = images.images[part].to(torch.int16) - clean.images[part]
        largest = max(largest, int(change.abs().max()))
        counts += _counted(change)
        classwise.look(change, images.images[part], clean.labels[part])
    count, channels, height, width = clean.images.shape
    amplitude, mean = (counts[:6] / (count * height * width)).view(2, 3).tolist()
    squares, falling, moving, pixels, tied, changed = counts[6:].tolist()
    mean_square = squares / clean.images.numel()
    return PoisonAudit(
        source=source,
        kind=kind,
        count=count,
        shape=(channels, height, width),
        max_change=largest,
        mean_amplitude=(amplitude[0], amplitude[1], amplitude[2]),
        mean_change=(mean[0], mean[1], mean[2]),
        negative_share=falling / moving if moving else 0.0,
        changed_share=changed / count,
        tied=tied / pixels if pixels else 0.0,
        psnr_db=10 * math.log10(LEVELS**2 / mean_square) if squares else None,
        classwise=bool(moving) and classwise.holds,
        nearer_to_others=nearer_to_others(images.images, clean.images),
        misplaced=misplaced(images.images, clean.images),
    )


def warnings(audit: PoisonAudit, epsilon: int) -> tuple[str, ...]:
    """Say what a reader of the results should know about a poison, one line each; empty if nothing.

    Args:
        audit: Of the poison.
        epsilon: The bound that it is said to keep, in levels.
    """
    if not audit.changed_share:
        return ("the poison changes nothing: these are the clean images",)
    found = []
    if audit.nearer_to_others > 0.5:
        found.append(
            f"{audit.nearer_to_others:.0%} of the compared images look like others of the training set: the "
            "poison is in another order, or of another data set"
        )
    if audit.max_change > epsilon:
        found.append(f"it changes values by up to {audit.max_change} levels, more than epsilon {epsilon}")
    if audit.negative_share < _ONE_SIDED:
        brighter = sum(audit.mean_change) / 3
        found.append(
            f"one-sided: {audit.negative_share:.1%} of the changes are negative, and the images are "
            f"{brighter:.1f} levels brighter on average; code that drops negative values does this"
        )
    if audit.changed_share < 1:
        found.append(
            f"{round((1 - audit.changed_share) * audit.count)} of {audit.count} images are unchanged"
        )
    if audit.classwise:
        found.append("class-wise: all images of a class carry one perturbation, which averaging reveals")
    return tuple(found)


def _counted(change: Tensor) -> Tensor:
    """Return twelve sums over (n, 3, H, W) int16, as float64.

    They are: the sizes of R, G, B; the changes of R, G, B; the squares; values that fall; values that move;
    pixels that move; pixels that move equally in R, G and B; images that change.
    """
    moves = change != 0
    moved = moves.any(1)
    tied = moved & (change == change[:, :1]).all(1)
    counts = [change < 0, moves, moved, tied, moved.flatten(1).any(1)]
    # Summed by image first: float32 is exact that far, and several times as fast as int64.
    numbers = change.float()
    squares = torch.linalg.vecdot(numbers.flatten(1), numbers.flatten(1))
    return torch.cat(
        [
            numbers.abs().sum((2, 3)).double().sum(0),
            numbers.sum((2, 3)).double().sum(0),
            squares.double().sum()[None],
            torch.tensor([float(count.count_nonzero()) for count in counts], dtype=torch.float64),
        ]
    )


class _Classwise:
    """Follows whether all images of each class change equally.

    Values that end at 0 or 255 may have been clamped there and say nothing.

    Attributes:
        holds: No two images of a class were seen to differ, and some class has more than one image.
    """

    def __init__(self, classes: int, shape: tuple[int, ...]) -> None:
        self._low = torch.full((classes, *shape), LEVELS + 1, dtype=torch.int16)
        self._high = -self._low
        self._count = torch.zeros(classes, dtype=torch.int64)
        self._equal = True

    def look(self, change: Tensor, poisoned: Tensor, labels: Tensor) -> None:
        """Take up some images (n, C, H, W) of labels (n,); `change` is int16, `poisoned` uint8."""
        if not self._equal:
            return
        clamped = (poisoned == 0) | (poisoned == LEVELS)
        self._count += torch.bincount(labels, minlength=len(self._count))
        for label in torch.unique(labels).tolist():
            of = labels == label
            low, high = self._low[label], self._high[label]
            torch.minimum(low, change[of].masked_fill(clamped[of], LEVELS + 1).amin(0), out=low)
            torch.maximum(high, change[of].masked_fill(clamped[of], -LEVELS - 1).amax(0), out=high)
            if (high > low).any():
                self._equal = False
                return

    @property
    def holds(self) -> bool:
        return self._equal and int(self._count.max()) > 1
