"""How Algorithm 1 of 'Going Grayscale' runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from ulecli.errors import UsageError
from ulecli.perturb.settings import PgdSettings

SHIFT = 4
"""Pixels of padding of the random crop, as everywhere with CIFAR-10."""


@dataclass(frozen=True)
class BilevelSettings:
    """Settings of the bi-level loop; where paper and published code differ, those of the paper.

    Attributes:
        gray: One value tied across RGB, found on gray images; else free RGB.
        augment: The clean images are randomly cropped and flipped on every pass, ``Aug(x)``. As in the
            paper's equations delta is added after that, so it stays while the picture moves under it.
        classwise: One perturbation for all images of a class.
        steps: PGD steps on every image in a round. Of a classwise delta every batch makes one.
        step: Length of a step in multiples of epsilon.
        training_steps: Mini-batches M that the surrogate learns from in a round.
        batch_size: Images of such a mini-batch.
        stop_error: The loop ends once the surrogate errs on no larger share of the protected images: lambda,
            0 to 1.
        rounds: The most rounds there are, since the error may swing for ever.
        restart: The surrogate begins from scratch in each round, as the paper says; the published code lets
            it go on, which needs far fewer mini-batches.
        random_start: Begin with random delta, as in Algorithm 1, instead of with none.
        rate: Learning rate of the surrogate's SGD, constant.
        momentum: Of it.
        decay: Weight decay.
        clip: Largest norm of its gradient.

    Raises:
        UsageError: A number is out of its range.
    """

    gray: bool
    augment: bool
    classwise: bool = False
    steps: int = 20
    step: float = 0.1
    training_steps: int = 10
    batch_size: int = 512
    stop_error: float = 0.01
    rounds: int = 50
    restart: bool = False
    random_start: bool = True
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    clip: float = 5.0

    def __post_init__(self) -> None:
        if min(self.steps, self.training_steps, self.batch_size, self.rounds) < 1:
            raise UsageError("the loop needs at least one step, mini-batch, image and round")
        if not 0 <= self.stop_error < 1:
            raise UsageError(f"the stop error is {self.stop_error}, but is a share of at least 0 and below 1")
        if min(self.step, self.rate, self.clip) <= 0:
            raise UsageError("step, rate and clip must be above 0")

    def as_published(self) -> Self:
        """Return how the published code runs, whose perturbations the published figures are of.

        It begins with no delta; and under gray it sums the signs of three equal channels, which makes each
        step three times as long (HanxunH/Unlearnable-Examples @f347155, liuzrcc/ULE-GrayAug @3dee0fc).
        """
        return replace(self, random_start=False, step=self.step * (3 if self.gray else 1))

    @property
    def inner(self) -> PgdSettings:
        """PGD of a round; the augmentation is not its, but the loop's."""
        return PgdSettings(
            steps=self.steps, travel=self.steps * self.step, momentum=0.0, gray=self.gray, augment=None
        )

    def to_card(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return asdict(self)
