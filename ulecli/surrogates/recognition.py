"""Recognising the cue: which code the surrogate's own nets see in a picture, also after a platform had it.

A gradient graph gives the loss of one code for one picture, so a net is asked once for each of its codes. A
code is recognised if no other code of its net has a lower loss. Nets of other families always see something,
with or without a cue, so which family to ask has to be known: from the ledger or the key. Without them the
net that is surest is believed, which on photos of 150 pixels names the right code of 70 in 75 %
(`benchmarks/codes_read.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import ModelError
from ulecli.imaging.variants import Sight, seen, views
from ulecli.surrogates import store

Losses = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What the net of a code sees in one variant of a picture.

    Attributes:
        code: The code of the net's family that has the lowest loss.
        rank: How many codes of the family have a lower loss than the one looked for; 0 means that it reads.
        margin: Loss of the best other code of the family less that of the one looked for, in nats; above 0
            where it reads.
    """

    code: int
    rank: int
    margin: float

    @property
    def reads(self) -> bool:
        """The code looked for is the one seen."""
        return self.rank == 0


@dataclass(frozen=True)
class Cue:
    """The cue of a protected picture.

    Attributes:
        code: The code that was looked for.
        known: It was given; else it is the one that the surest net sees in the picture as it is.
        readings: By variant: "file" is the picture as it is; "q85" after JPEG; "1080", "512", "224" shrunk to
            that longest side and then JPEG. A variant that would enlarge the picture is left out.
    """

    code: int
    known: bool
    readings: dict[str, Reading]


class CueReader:
    """Reads codes with the nets of a surrogate, on the CPU. Threads may share it."""

    def __init__(self, name: str = "photo", *, threads: int = 1) -> None:
        """Load the nets of a surrogate.

        Raises:
            ModelError: The surrogate is unknown, damaged or changed.
        """
        from ulecli.perturb.onnx_gradients import OnnxGradients
        from ulecli.perturb.settings import PgdSettings

        card = store.load_card(name)
        try:
            self.classes, self.families = int(card.net["classes"]), int(card.protocol["families"])
            self.channels, self.grid = int(card.net["channels"]), int(card.protocol["grid"])
            self._settings = PgdSettings.from_card(card.protocol["pgd"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card of '{card.name}' is damaged at {error}; reinstall ulecli") from error
        self._gradients = [
            OnnxGradients(store.verified_bytes(name, f".{family}.onnx"), threads=threads)
            for family in range(self.families)
        ]

    @property
    def codes(self) -> int:
        """Number K of codes."""
        return self.families * self.classes

    @cached_property
    def side(self) -> int:
        """Side of the square picture that the nets are asked about: the largest they were made to see."""
        return max(self._settings.augment.sizes) if self._settings.augment else self.grid

    @property
    def sight(self) -> Sight:
        """How the nets see a picture."""
        return Sight(self.channels, self.side)

    def losses(self, pictures: Sequence[Image.Image]) -> Losses:
        """Return the cross-entropy of every code, (N, K) in nats, for N pictures of any size."""
        shown = seen(list(pictures), self.sight)
        return np.concatenate([self._asked(family, shown) for family in range(self.families)], axis=1)

    def cue(self, protected: Image.Image, code: int | None = None) -> Cue:
        """Check whether a code is recognised in every variant of a picture.

        Args:
            protected: RGB, upright.
            code: The one to look for; None for the one that the surest net sees.
        """
        return self.read(*views(protected, self.sight), code)

    def read(self, names: Sequence[str], shown: Losses, code: int | None = None) -> Cue:
        """Try whether a code reads in variants of a picture that are at hand as the nets see them.

        Args:
            names: Of the variants; the first is the picture as it is.
            shown: The variants, as `views` returns them.
            code: The one to look for; None for the one that the surest net sees.
        """
        looked_for = self._surest(shown[:1]) if code is None else code
        family, own = divmod(looked_for, self.classes)
        found = self._asked(family, shown)
        readings = {
            name: self._reading(losses, family, own) for name, losses in zip(names, found, strict=True)
        }
        return Cue(looked_for, code is not None, readings)

    def _surest(self, seen: Losses) -> int:
        """Return the code that the net sees whose best code is furthest ahead of its second."""
        losses = [self._asked(family, seen)[0] for family in range(self.families)]
        family = int(np.argmax([np.subtract(*np.sort(members)[1::-1]) for members in losses]))
        return family * self.classes + int(losses[family].argmin())

    def _asked(self, family: int, seen: Losses) -> Losses:
        """Return the cross-entropy of a family's codes, (N, codes), for N pictures as the nets see them."""
        images = np.repeat(seen, self.classes, axis=0)
        labels = np.tile(np.arange(self.classes, dtype=np.int64), len(seen))
        found: Losses = self._gradients[family].session.run(["loss"], {"images": images, "labels": labels})[0]
        return found.reshape(len(seen), self.classes)

    def _reading(self, members: Losses, family: int, own: int) -> Reading:
        others = np.delete(members, own)
        return Reading(
            family * self.classes + int(members.argmin()),
            int((others < members[own]).sum()),
            float(others.min() - members[own]),
        )
