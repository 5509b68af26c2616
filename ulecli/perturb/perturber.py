"""A frozen surrogate as a `Perturber`: what `protect` asks for the delta of a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ulecli.perturb.pgd import Oracle, minimise
from ulecli.perturb.settings import PgdSettings
from ulecli.shelf import Card
from ulecli.units import LEVELS, to_unit
from ulecli.views import Floats

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R 601, as in Pillow's and torchvision's grayscale."""


class SurrogatePerturber:
    """A `Perturber` around an oracle. Holds no state between calls, so threads may share it.

    Attributes:
        grid: Side S of the square working image, in cells.
        codes: Number K of codes.
        device: What does the work, in words.
        label: Name of the surrogate and the first digits of its weights' sha256.
        settings: How PGD runs.
    """

    def __init__(self, oracle: Oracle, card: Card, device: str) -> None:
        self._oracle = oracle
        self.device = device
        self.grid = int(card.protocol["grid"])
        self.codes = int(card.net["classes"])
        self.label = f"{card.name} {card.files[f'{card.name}.safetensors'].sha256[:8]}"
        self.settings = PgdSettings.from_card(card.protocol["pgd"])

    def __call__(
        self, images: Floats, codes: NDArray[np.int64], aspects: Floats, *, epsilon: int
    ) -> NDArray[np.int8]:
        """Return delta in levels; see `Perturber`. A photo's delta does not depend on its batch."""
        if self.settings.gray:
            images = np.einsum("nchw,c->nhw", images, LUMA)[:, None].astype(np.float32)
        delta = minimise(
            self._oracle,
            self._oracle.asarray(images),
            self._oracle.asarray(codes),
            self.settings,
            np.random.default_rng(0),
            epsilon=to_unit(epsilon),
            aspects=aspects,
            per_image=False,
        )
        levels = self._oracle.asnumpy(delta) * LEVELS
        return np.rint(levels).astype(np.int8)
