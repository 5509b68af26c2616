"""A frozen surrogate as a `Perturber`: what `protect` asks for the delta of a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import ModelError
from ulecli.perturb.pgd import Oracle, minimise, views_of
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates.store import Card
from ulecli.transforms.views import Floats, View
from ulecli.units import LEVELS, LUMA, to_unit

_LUMA = np.array(LUMA, np.float32)

OpenOracle = Callable[[int], Oracle]
"""Opens the net of a family."""


class SurrogatePerturber:
    """A `Perturber` around a frozen surrogate. Threads may share it.

    Attributes:
        grid: Side S of the square working image, in cells.
        codes: Number K of codes.
        families: Number of nets, each with its family of codes.
        device: What does the work, in words.
        label: Name of the surrogate and the first digits of its weights' sha256.
        sha256: Of its weights, in hex.
        settings: How PGD runs.
    """

    def __init__(self, open_oracle: OpenOracle, card: Card, device: str) -> None:
        self.device = device
        try:
            self.grid = int(card.protocol["grid"])
            self.families = int(card.protocol["families"])
            self._classes = int(card.net["classes"])
            self.sha256 = card.files[f"{card.name}.safetensors"].sha256
            self.label = f"{card.name} {self.sha256[:8]}"
            self.settings = PgdSettings.from_card(card.protocol["pgd"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the card of '{card.name}' lacks or garbles {error}; reinstall ulecli"
            ) from error
        self.codes = self.families * self._classes
        self._open_oracle = open_oracle
        self._oracles: dict[int, Oracle] = {}
        self._opening = Lock()
        self._views_of_one = lru_cache(maxsize=32)(self._draw_views_of_one)

    def __call__(
        self, images: Floats, codes: NDArray[np.int64], aspects: Floats, *, epsilon: int
    ) -> NDArray[np.int8]:
        """Return delta in levels; see `ulecli.perturb.perturber` for what batches change."""
        if self.settings.gray:
            images = np.einsum("nchw,c->nhw", images, _LUMA)[:, None].astype(np.float32)
        found = np.empty(images.shape, np.int8)
        for family in np.unique(codes // self._classes):
            members = codes // self._classes == family
            found[members] = self._family_delta(
                self._oracle(int(family)),
                images[members],
                codes[members] % self._classes,
                aspects[members],
                to_unit(epsilon),
            )
        return found

    def _family_delta(
        self, oracle: Oracle, images: Floats, labels: NDArray[np.int64], aspects: Floats, epsilon: float
    ) -> Floats:
        delta = minimise(
            oracle,
            oracle.asarray(images),
            oracle.asarray(labels),
            self.settings,
            self._views(aspects),
            epsilon=epsilon,
            rng=np.random.default_rng(0),
        )
        return np.rint(oracle.asnumpy(delta) * LEVELS)

    def _views(self, aspects: Floats) -> Iterable[View | None]:
        if len(aspects) == 1:
            # Cameras have few shapes, and drawing views takes a fifth of the time of a photo.
            return self._views_of_one(float(aspects[0]))
        return views_of(self.settings, np.random.default_rng(0), 1, self.grid, aspects)

    def _draw_views_of_one(self, aspect: float) -> tuple[View | None, ...]:
        shape = np.array([aspect], np.float32)
        return tuple(views_of(self.settings, np.random.default_rng(0), 1, self.grid, shape))

    def _oracle(self, family: int) -> Oracle:
        # A run needs one family, or a few: the others are never loaded.
        with self._opening:
            if family not in self._oracles:
                self._oracles[family] = self._open_oracle(family)
            return self._oracles[family]
