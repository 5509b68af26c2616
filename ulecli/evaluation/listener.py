"""What an evaluation reports while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ulecli.evaluation.results.record import Arm, RunRecord


class Listener(Protocol):
    """Receives reports of how an evaluation goes on."""

    def starting(self, sets: Sequence[str], trainings: int) -> None:
        """There are to be so many trainings on sets of these names, those of earlier runs included."""

    def expecting(self, works: Sequence[tuple[str, float | None]]) -> None:
        """The parts of the work that is left, each with its seconds by its first steps; None: not known."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """A defender has done so much of a part of its work."""

    def planned(self, arms: list[Arm], epochs: list[int]) -> None:
        """These trainings are still to be done, of so many epochs each."""

    def remaining(self, seconds: float) -> None:
        """By what was measured so far, all that is left takes so long."""

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        """A training, by its place in the plan, has finished an epoch."""

    def finished(self, number: int, record: RunRecord) -> None:
        """A training is done."""
