"""How a perturbation is made: the settings of projected gradient descent (PGD)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ulecli.errors import ModelError, UsageError
from ulecli.transforms.views import ViewPolicy


@dataclass(frozen=True)
class PgdSettings:
    """Settings of the inner minimisation. The bound epsilon is not among them: it belongs to the case.

    `gray` and `augment` are independent; their four combinations are the paper's Table 2:

    | gray | augment | name          |
    |------|---------|---------------|
    | no   | no      | ULEO          |
    | no   | yes     | ULEO-Augs     |
    | yes  | no      | ULEO-Grays    |
    | yes  | yes     | ULEO-GrayAugs |

    Attributes:
        steps: Number of gradient steps.
        travel: How far a cell could move in all steps together, in multiples of epsilon; the step size is
            ``travel * epsilon / steps``. The published code travels 2 epsilon, and 6 under gray by accident.
        momentum: Share of the last direction that is kept, 0 to below 1.
        views: Views of each image averaged for one gradient; 1 or more.
        random_start: Start from uniform noise in [-epsilon, epsilon] instead of from zero.
        saturate: Finally move every cell to +epsilon or -epsilon by its sign: the strongest cue within the
            bound, and 2 dB more noise.
        gray: One luma value tied across RGB, on gray images, instead of free RGB.
        colour: With `gray`: the surrogate sees the images in colour, delta tied all the same, and in gray
            only where a view says so. For pretrained nets, which were shown colour.
        augment: What the images go through inside the loop; None for nothing.
        jpeg_weights: Quality of the JPEG by which the frequencies of each gradient are weighed, see
            `ulecli.perturb.spectrum`; 0 for all alike.

    Raises:
        UsageError: a number is out of its range.
    """

    steps: int = 20
    travel: float = 2.5
    momentum: float = 0.75
    views: int = 1
    random_start: bool = False
    saturate: bool = False
    gray: bool = True
    colour: bool = False
    augment: ViewPolicy | None = field(default_factory=ViewPolicy)
    jpeg_weights: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.views < 1:
            raise UsageError("PGD needs at least one step and one view")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is {self.momentum}, but must be at least 0 and below 1")
        if not 0 <= self.jpeg_weights <= 100:
            raise UsageError(f"jpeg_weights is {self.jpeg_weights}, but must be a quality, 1 to 100, or 0")
        if self.travel <= 0:
            raise UsageError(f"travel is {self.travel}, but must be above 0")

    @classmethod
    def from_card(cls, entries: Mapping[str, Any]) -> Self:
        """Read what `to_card` wrote.

        Raises:
            ModelError: an entry is unknown or of the wrong kind.
        """
        try:
            policy = entries["augment"]
            augment = (
                None
                if policy is None
                else ViewPolicy(**{key: _frozen(value) for key, value in policy.items()})
            )
            return cls(**{**entries, "augment": augment})
        except (KeyError, TypeError, UsageError) as error:
            raise ModelError(f"the card's PGD settings can't be read ({error}); reinstall ulecli") from error

    def to_card(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return asdict(self)

    @property
    def channels(self) -> int:
        """Channels of the images that the surrogate sees: 1 under gray without colour, else 3."""
        return 1 if self.gray and not self.colour else 3

    @property
    def variant(self) -> str:
        """The paper's name of this combination."""
        return {
            (False, False): "ULEO",
            (False, True): "ULEO-Augs",
            (True, False): "ULEO-Grays",
            (True, True): "ULEO-GrayAugs",
        }[self.gray, self.augment is not None]


def _frozen(value: Any) -> Any:
    # JSON has lists where the policy has tuples.
    return tuple(value) if isinstance(value, list) else value
