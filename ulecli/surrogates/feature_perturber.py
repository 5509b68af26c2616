"""A pretrained net as a `Perturber`: what `protect` asks for the delta of a photo."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import ModelError
from ulecli.perturb.directions import DirectionSettings, common_direction, drawn_direction, seen_features
from ulecli.perturb.pgd import FeatureGradients, minimise, views_of
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates.recognition import compared
from ulecli.surrogates.store import Card
from ulecli.transforms.views import Floats, View, axis_matrix
from ulecli.units import LEVELS


class FeaturePerturber:
    """A `Perturber` that moves photos in the feature space of a frozen net. Threads may share it.

    Attributes:
        grid: Side S of the square working image, in cells, at most.
        samples: Number of photos that a direction is found from.
        device: What does the work, in words.
        label: Name of the surrogate and the first digits of its weights' sha256.
        sha256: Of its weights, in hex.
        settings: How PGD runs.
    """

    def __init__(self, gradients: FeatureGradients, card: Card, device: str) -> None:
        self.device = device
        try:
            self.grid = int(card.protocol["grid"])
            self.sha256 = card.files[f"{card.name}.safetensors"].sha256
            self.label = f"{card.name} {self.sha256[:8]}"
            self.settings = PgdSettings.from_card(card.protocol["pgd"])
            self._direction_settings = DirectionSettings.from_card(card.protocol["directions"])
            self._length = int(card.net["features"])
            self._side = int(card.net["side"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card of '{card.name}' is damaged at {error}; reinstall ulecli") from error
        self.samples = self._direction_settings.photos
        self._gradients = gradients
        self._whole = lru_cache(maxsize=self.grid)(self._see_whole)
        self._views_of_one = lru_cache(maxsize=32)(self._draw_views_of_one)

    def direction(self, images: Floats, amplitudes: Floats, seed: int) -> Floats:
        """Return the direction of an identity; see `Perturber`."""
        start = drawn_direction(self._length, seed)
        if not len(images):
            return start
        settings, bounds = self._direction_settings, amplitudes / np.float32(LEVELS)
        return common_direction(self._gradients, images, bounds, start, settings, self._whole(self.grid))

    def __call__(
        self, images: Floats, directions: Floats, amplitudes: Floats, aspects: Floats
    ) -> NDArray[np.int8]:
        """Return delta in levels; see `ulecli.perturb.perturber` for what batches change."""
        net = self._gradients
        delta = minimise(
            net,
            net.asarray(images),
            net.asarray(-directions),  # the least inner product with the opposite
            self.settings,
            self._views(aspects, images.shape[-1]),
            epsilon=net.asarray(amplitudes / np.float32(LEVELS)),
            rng=np.random.default_rng(0),
        )
        found: NDArray[np.int8] = np.rint(net.asnumpy(delta) * LEVELS).astype(np.int8)
        return found

    def recognised(self, images: Floats, directions: Floats, deltas: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Return whether the net sees each photo moved along its direction; see `Perturber`."""
        moved = (images + deltas.astype(np.float32) / LEVELS).clip(0, 1)
        view = self._whole(images.shape[-1])
        shifts = seen_features(self._gradients, moved, view) - seen_features(self._gradients, images, view)
        return np.array([compared(*pair).recognised for pair in zip(shifts, directions, strict=True)], bool)

    def _see_whole(self, grid: int) -> View:
        """Return the view that shows the net a whole working image."""
        whole = axis_matrix(0.0, 1.0, grid, self._side)
        return View(whole, whole)

    def _views(self, aspects: Floats, grid: int) -> Iterable[View | None]:
        if len(aspects) == 1:
            # Cameras have few shapes, and drawing views takes a fifth of the time of a photo.
            return self._views_of_one(float(aspects[0]), grid)
        return views_of(self.settings, np.random.default_rng(0), 1, grid, aspects)

    def _draw_views_of_one(self, aspect: float, grid: int) -> tuple[View | None, ...]:
        shape = np.array([aspect], np.float32)
        return tuple(views_of(self.settings, np.random.default_rng(0), 1, grid, shape))
