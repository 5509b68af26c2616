"""A frozen surrogate as a `Perturber`: what `protect` asks for the delta of a photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import ModelError
from ulecli.perturb.pgd import Gradients, minimise, views_of
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates.store import Card
from ulecli.transforms.views import Floats, View
from ulecli.units import LEVELS, LUMA, to_unit

_LUMA = np.array(LUMA, np.float32)

_HALF = math.log(2)
"""The cross-entropy of what has a chance of one half."""

_INTERPOLATED = 4
"""How many times as fine as the nets see it a delta is interpolated; finer changes nothing."""

OpenGradients = Callable[[int], Gradients]
"""Opens the gradients of the net of a family."""


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

    def __init__(self, open_gradients: OpenGradients, card: Card, device: str) -> None:
        self.device = device
        try:
            self.grid = int(card.protocol["grid"])
            self.families = int(card.protocol["families"])
            self._classes = int(card.net["classes"])
            self.sha256 = card.files[f"{card.name}.safetensors"].sha256
            self.label = f"{card.name} {self.sha256[:8]}"
            self.settings = PgdSettings.from_card(card.protocol["pgd"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card of '{card.name}' is damaged at {error}; reinstall ulecli") from error
        self.codes = self.families * self._classes
        self._open_gradients = open_gradients
        self._gradients: dict[int, Gradients] = {}
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
                self._gradients_of(int(family)),
                images[members],
                codes[members] % self._classes,
                aspects[members],
                to_unit(epsilon),
            )
        return found

    def recognised(
        self, images: Floats, codes: NDArray[np.int64], deltas: NDArray[np.int8]
    ) -> NDArray[np.bool_]:
        """Return whether the net of each code finds no other of its codes likelier; see `Perturber`."""
        if self.settings.gray:
            images = np.einsum("nchw,c->nhw", images, LUMA)[:, None].astype(np.float32)
        # A delta is interpolated to full size before it is squeezed to what the nets see. The working image
        # was squeezed already, so a sharper kernel keeps it from being blurred twice.
        smooth = _squeezed(deltas.astype(np.float32), _INTERPOLATED * self._side)
        sharp = _squeezed(images, self._side, Image.Resampling.BICUBIC)
        shown = sharp + _squeezed(smooth, self._side) / LEVELS
        pairs = zip(shown.clip(0, 1).astype(np.float32), codes, strict=True)
        return np.array([self._recognises(seen, int(code)) for seen, code in pairs], bool)

    def _recognises(self, seen: Floats, code: int) -> bool:
        """Ask the net of a code about one image (C, s, s)."""
        family, own = divmod(code, self._classes)
        surrogate = self._gradients_of(family)

        def losses(labels: NDArray[np.int64]) -> Floats:
            images = np.repeat(seen[None], len(labels), axis=0)
            return surrogate.losses(surrogate.asarray(images), surrogate.asarray(labels))

        if losses(np.array([own]))[0] < _HALF:  # then no other can be as likely, and need not be asked
            return True
        found = losses(np.arange(self._classes))
        return bool((found >= found[own]).all())

    @cached_property
    def _side(self) -> int:
        """Side of the square picture that the nets are asked about: the largest they were made to see."""
        return max(self.settings.augment.sizes) if self.settings.augment else self.grid

    def _family_delta(
        self, surrogate: Gradients, images: Floats, labels: NDArray[np.int64], aspects: Floats, epsilon: float
    ) -> Floats:
        delta = minimise(
            surrogate,
            surrogate.asarray(images),
            surrogate.asarray(labels),
            self.settings,
            self._views(aspects),
            epsilon=epsilon,
            rng=np.random.default_rng(0),
        )
        return np.rint(surrogate.asnumpy(delta) * LEVELS)

    def _views(self, aspects: Floats) -> Iterable[View | None]:
        if len(aspects) == 1:
            # Cameras have few shapes, and drawing views takes a fifth of the time of a photo.
            return self._views_of_one(float(aspects[0]))
        return views_of(self.settings, np.random.default_rng(0), 1, self.grid, aspects)

    def _draw_views_of_one(self, aspect: float) -> tuple[View | None, ...]:
        shape = np.array([aspect], np.float32)
        return tuple(views_of(self.settings, np.random.default_rng(0), 1, self.grid, shape))

    def _gradients_of(self, family: int) -> Gradients:
        # A run needs one family, or a few: the others are never loaded.
        with self._opening:
            if family not in self._gradients:
                self._gradients[family] = self._open_gradients(family)
            return self._gradients[family]


def _squeezed(planes: Floats, side: int, kernel: Image.Resampling = Image.Resampling.BILINEAR) -> Floats:
    """Resize (N, C, h, w) to (N, C, side, side)."""
    flat = [
        np.asarray(Image.fromarray(plane).resize((side, side), kernel))
        for plane in planes.reshape(-1, *planes.shape[2:])
    ]
    return np.stack(flat).reshape(*planes.shape[:2], side, side)
