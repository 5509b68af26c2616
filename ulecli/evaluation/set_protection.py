"""What a surrogate adds to a training set: made once, and taken from the cache by later evaluations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.evaluation.delta_cache import DeltaCache, usual_folder
from ulecli.evaluation.own_surrogates import Surrogate
from ulecli.perturb.sets import delta_identity, set_delta

FROM_CACHE = "taken from the cache of an earlier run"
"""What is reported of images whose change needs not be made."""


@dataclass(frozen=True)
class SetProtection:
    """The protection of a set of images by a surrogate.

    Attributes:
        surrogate: Frozen.
        images: Those to protect, and no others.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        device: A torch device.
    """

    surrogate: Surrogate
    images: ImageSet
    epsilon: int
    seed: int
    device: str

    @cached_property
    def identity(self) -> str:
        """A digest of all that decides what is added: by content, whatever things are called."""
        return delta_identity(
            self.surrogate.net,
            self.images.images,
            self.images.labels,
            self.surrogate.settings,
            epsilon=self.epsilon,
            seed=self.seed,
            device=self.device,
        )

    def is_kept(self) -> bool:
        """Return whether an earlier run has made it."""
        return DeltaCache(usual_folder()).has(self.identity)

    def delta(self, parts: Path | None, progress: Callable[[str, int, int], None] | None) -> Tensor:
        """Return what is added, (N, 1 or 3, H, W) int16 in levels.

        Args:
            parts: Folder where an interrupted work is taken up; None for nowhere.
            progress: Called after every step; see `ulecli.evaluation.order.Progress`.
        """
        cache, count = DeltaCache(usual_folder()), len(self.images)
        if (known := cache.find(self.identity)) is not None:
            if progress is not None:
                progress(FROM_CACHE, count, count)
            return known
        made = set_delta(
            self.surrogate.net,
            self.images.images,
            self.images.labels,
            self.surrogate.settings,
            epsilon=self.epsilon,
            seed=self.seed,
            device=self.device,
            parts=parts,
            progress=lambda done: progress("protecting", done, count) if progress else None,
        )
        cache.add(self.identity, made)
        return made
