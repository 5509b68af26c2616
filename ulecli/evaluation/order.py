"""What a defender of a training set is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ulecli.data.images import ImageSet

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is in all."""


@dataclass(frozen=True)
class Order:
    """What a defender is asked to do with a training set.

    Attributes:
        chosen: (n,) int64, the places of the images that shall be protected.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        device: A torch device.
        checkpoints: Folder of this order's own where interrupted work may be taken up, which goes once the
            set is kept; None for nowhere.
        progress: Called after every step; None for nobody.
        remarks: The defender adds what the user should know, one line each.
    """

    chosen: Tensor
    epsilon: int
    seed: int
    device: str
    checkpoints: Path | None = None
    progress: Progress | None = None
    remarks: list[str] = field(default_factory=list)


Protect = Callable[[ImageSet, Order], Tensor]
"""From the whole clean training set to what is stored of it, uint8 of the shape of its images: of all of
them, or of the chosen ones in their order."""


@dataclass(frozen=True)
class Defender:
    """Someone who protects a training set.

    Attributes:
        protect: See `Protect`. That no value is further than epsilon from what it was is checked.
        words: What it does, in a line.
        side: Side in pixels of the images that it protects; 0 for any.
        draws: Whether its work differs from seed to seed, so that each seed of an evaluation gets a set of
            its own. A surrogate that ships is the same for all seeds whatever this says, see `is_fixed`.
    """

    protect: Protect
    words: str = ""
    side: int = 0
    draws: bool = True
