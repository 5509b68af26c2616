"""A labelled set of pictures that is held as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ulecli.units import LEVELS

_CHUNK = 1000
"""Images that delta is added to at a time, which limits the memory."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A labelled set of pictures, small enough to be held as a whole.

    Attributes:
        images: (N, 3, H, W) uint8 RGB.
        labels: (N,) int64, 0 to len(classes) - 1.
        classes: The name of each label.

    Raises:
        ValueError: The three do not fit together.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"images: {self.images.dtype} {tuple(self.images.shape)}, not uint8 (N, 3, H, W)"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels: {self.labels.dtype} {tuple(self.labels.shape)}, not int64 (N,)")
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(f"labels are not within 0 to {len(self.classes) - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: torch.Tensor | Sequence[int]) -> ImageSet:
        """Return the pictures at `indices`, in that order; classes stay, even those left without a picture.

        Args:
            indices: Integers, or a mask of N bools as a tensor.

        Raises:
            IndexError: An index is beyond the set.
        """
        chosen = indices if isinstance(indices, torch.Tensor) else torch.tensor(indices, dtype=torch.int64)
        return ImageSet(self.images[chosen], self.labels[chosen], self.classes)

    def firsts(self, most: int) -> list[int]:
        """Return the place of the first picture of each class that has one, of the first `most` of these."""
        found = ((self.labels == label).nonzero() for label in range(len(self.classes)))
        return [int(places[0]) for places in found if len(places)][:most]

    def plus(self, delta: torch.Tensor, places: torch.Tensor | None = None) -> ImageSet:
        """Return images + delta as uint8 stores them, clamped to 0 to 255.

        Args:
            delta: (N, 1 or 3, H, W) of whole numbers, in levels.
            places: (N,) int64, which of M deltas (M, ...) each picture gets; None for that of its own place.
        """
        whole = torch.empty_like(self.images)
        for part in torch.split(torch.arange(len(self)), _CHUNK):
            own = delta[part if places is None else places[part]].to(torch.int16)
            whole[part] = (self.images[part] + own).clamp_(0, LEVELS).to(torch.uint8)
        return replace(self, images=whole)

    @cached_property
    def digest(self) -> str:
        """The md5 over shape, class names, pixels and labels, in hex; the same on every machine."""
        digest = hashlib.md5(repr((tuple(self.images.shape), self.classes)).encode(), usedforsecurity=False)
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().astype("<i8").data)
        return digest.hexdigest()
