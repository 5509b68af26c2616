"""Finding the direction in feature space along which the photos of one identity can be moved together.

What an exploiter shall take for the identity is a shift that all of its photos have in common. A direction
drawn at random moves photos little; of what was measured (docs/research.md) the one does most that PGD finds
for the photos of the identity themselves, all at once, from a start that a key draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import ModelError, UsageError
from ulecli.perturb.pgd import FeatureGradients, accumulated
from ulecli.transforms.views import Floats, View


@dataclass(frozen=True)
class DirectionSettings:
    """How a direction is found.

    Attributes:
        photos: At most so many photos of the identity are moved.
        steps: Number of gradient steps.
        guided: So many of them, the first ones, follow the start; the others go where the common shift of the
            features grows most.
        step: Length of a step in multiples of each cell's bound.
        momentum: Share of the last step's direction that is kept, 0 to below 1.

    Raises:
        UsageError: A number is out of its range.
    """

    photos: int = 8
    steps: int = 8
    guided: int = 2
    step: float = 0.3
    momentum: float = 0.7

    def __post_init__(self) -> None:
        if self.photos < 1 or not 1 <= self.guided < self.steps:
            raise UsageError("a direction needs a photo, a guided step, and one that is not")
        if self.step <= 0 or not 0 <= self.momentum < 1:
            raise UsageError("the steps of a direction must be above 0, their momentum 0 to below 1")

    @classmethod
    def from_card(cls, entries: Mapping[str, Any]) -> Self:
        """Read what `to_card` wrote.

        Raises:
            ModelError: An entry is unknown or of the wrong kind.
        """
        try:
            return cls(**entries)
        except (TypeError, UsageError) as error:
            raise ModelError(f"the card's directions can't be read ({error}); reinstall ulecli") from error

    def to_card(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return asdict(self)


def drawn_direction(length: int, seed: int) -> Floats:
    """Draw a direction of `length` numbers, of Euclidean norm 1, from a seed of any size."""
    drawn = np.random.default_rng(seed).standard_normal(length)
    return _normalised(drawn)


def common_direction(
    surrogate: FeatureGradients,
    images: NDArray[np.float32],
    bounds: NDArray[np.float32],
    start: Floats,
    settings: DirectionSettings,
    view: View,
) -> Floats:
    """Find the direction along which images can be moved furthest together, near a start.

    Args:
        surrogate: Its features are standardised: of ordinary photos each has deviation 1.
        images: (N, 3, S, S) RGB, unit scale.
        bounds: (N, 1, S, S) how far delta may go, unit scale.
        start: (D,) of norm 1, which breaks the tie between the many directions that there are.
        settings: Steps and momentum.
        view: What the images are seen through: the whole of them, in the size that the net takes.

    Returns:
        (D,) of norm 1: that of the mean shift of the features after the last step; the start where nothing
        moves them, as with bounds of 0.
    """
    shown, limits = surrogate.asarray(images), surrogate.asarray(bounds)
    clean = seen_features(surrogate, images, view)
    delta = limits * 0
    momentum = delta * 0
    direction, shift = start, start * 0
    for step in range(settings.steps):
        # Minimising the inner product with the opposite moves the features along the direction.
        targets = surrogate.asarray(np.repeat(-direction[None], len(images), axis=0))
        gradient = surrogate.gradient(shown, delta, targets, view)
        momentum = accumulated(momentum, gradient, settings.momentum)
        delta = (delta - settings.step * limits * surrogate.sign(momentum)).clip(-limits, limits)
        moved = surrogate.asnumpy((shown + delta).clip(0, 1))
        shift = (seen_features(surrogate, moved, view) - clean).mean(axis=0)
        if step + 1 >= settings.guided and np.linalg.norm(shift) > 0:
            direction = _normalised(shift)
    return direction


def seen_features(surrogate: FeatureGradients, images: Floats, view: View) -> Floats:
    """Return the features (N, D) of images (N, C, S, S), unit scale, through a view."""
    return surrogate.features(surrogate.asarray(view.see(images).astype(np.float32)))


def _normalised(vector: NDArray[Any]) -> Floats:
    unit: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
