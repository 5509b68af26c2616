"""Recognising the cue: is a picture moved along its direction in the surrogate's features, stored again too?

The features of the protected picture, as it is and as platforms pass it on, are compared with those of the
original. What is left of the perturbation is how far they moved along the direction, and whether that is more
than storing a photo again does. Of two random directions of D numbers the cosine is 0 +- 1 / sqrt(D), 0.03
with 1280; but features move more easily along some directions than along others, so JPEG alone reaches 0.25
now and then, and photos of one direction are moved along that of another identity too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import ModelError
from ulecli.imaging.variants import Sight
from ulecli.surrogates import store

Floats = NDArray[np.float32]

RECOGNISED = 0.2
"""Cosine between shift and direction from which on the cue counts as recognised: nearly all photos that are
protected reach it, and few that are only stored again (`benchmarks/cue_recognised.py`)."""


@dataclass(frozen=True)
class Reading:
    """What the net sees in one variant of a picture.

    Attributes:
        shift: How far the features moved along the direction, in standard deviations of a feature.
        cosine: Of the angle between the whole shift and the direction, -1 to 1.
    """

    shift: float
    cosine: float

    @property
    def recognised(self) -> bool:
        """The shift is along the direction, by more than storing again would do."""
        return self.cosine >= RECOGNISED


@dataclass(frozen=True)
class Cue:
    """The cue of a protected picture.

    Attributes:
        readings: By variant: "file" is the picture as it is; "q85" after JPEG; "1080", "512", "224" shrunk to
            that longest side and then JPEG. A variant that would enlarge the picture is left out.
    """

    readings: dict[str, Reading]


class CueReader:
    """Sees whether pictures are moved along directions in a surrogate's features, on the CPU; for threads.

    Attributes:
        sight: How the net sees a picture.
        sha256: Of the surrogate's weights: directions are those of one surrogate.
        length: Number of features, and so of a direction.
    """

    def __init__(self, name: str = "photo", *, threads: int = 1) -> None:
        """Load the net of a surrogate.

        Raises:
            ModelError: The surrogate is unknown, damaged or changed, or is none for photos.
        """
        from ulecli.perturb.onnx_gradients import OnnxGradients

        card = store.load_card(name)
        try:
            self.sight = Sight(int(card.net["channels"]), int(card.net["side"]))
            self.length = int(card.net["features"])
            self.sha256 = card.files[f"{name}.safetensors"].sha256
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the surrogate '{name}' has no features to recognise a cue by ({error}): it is for data "
                "sets, or of an older ulecli; take the 'photo' that ships"
            ) from error
        self._gradients = OnnxGradients(store.verified_bytes(name, ".0.onnx"), threads=threads)

    def read(self, names: Sequence[str], original: Floats, shown: Floats, direction: Floats) -> Cue:
        """Look for a cue in variants of a picture.

        Args:
            names: Of the variants, N of them.
            original: (1, C, side, side) the original as the net sees it, unit scale.
            shown: (N, C, side, side) the variants as the net sees them.
            direction: (D,) of norm 1.
        """
        features = self._gradients.features(np.concatenate([original, shown]))
        shifts = features[1:] - features[0]
        return Cue({name: compared(shift, direction) for name, shift in zip(names, shifts, strict=True)})


def compared(shift: Floats, direction: Floats) -> Reading:
    """Compare a shift of features (D,) with a direction (D,) of norm 1."""
    along = float(shift @ direction)
    return Reading(along, along / max(float(np.linalg.norm(shift)), 1e-12))
