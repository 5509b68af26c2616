"""What an evaluation still has to do and how long that takes, from before its first step to its last."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ulecli.evaluation.forecast import Forecast, Work
from ulecli.evaluation.listener import Listener


@dataclass(frozen=True)
class Preparation:
    """A part of a defender's work that is still to be done.

    Attributes:
        words: What it is, for users.
        report: What reports of it call it.
        seconds: How long it will take; None if that can't be known beforehand.
    """

    words: str
    report: str
    seconds: float | None


class Outlook:
    """Follows the work of an evaluation: first what defenders do, then trainings."""

    def __init__(self, listener: Listener | None) -> None:
        """Begin without anything to do.

        Args:
            listener: Receives the reports of defenders, and what is left, whenever something was done and
                enough is known.
        """
        self._listener = listener
        self._numbers: dict[str, list[int]] = {}
        self._preparations = self._trainings = Forecast([], 1)
        self._paces: dict[Hashable, float] = {}

    def expect(
        self,
        preparations: Sequence[Preparation],
        trainings: Sequence[Work],
        jobs: int,
        paces: Mapping[Hashable, float],
    ) -> list[tuple[str, float | None]]:
        """Take note of all the work before it begins.

        Args:
            preparations: What defenders have to do, in order.
            trainings: Those that are left to do.
            jobs: How many trainings run at the same time.
            paces: By kind, the seconds for one unit of cost of a training.

        Returns:
            Each part of the work in words, and how long it takes in seconds; None where nobody knows.
        """
        self._paces, self._numbers = dict(paces), {}
        for number, one in enumerate(preparations):
            self._numbers.setdefault(one.report, []).append(number)
        self.plan(trainings, jobs)
        works = [Work(1.0, number) for number in range(len(preparations))]
        known: dict[Hashable, float] = {
            number: one.seconds for number, one in enumerate(preparations) if one.seconds is not None
        }
        self._preparations = Forecast(works, 1, paces=known)
        parts = [(one.words, one.seconds) for one in preparations]
        if count := len(trainings):
            parts.append((f"{count} training{'s' if count > 1 else ''}", self._trainings.remaining()))
        return parts

    def plan(self, trainings: Sequence[Work], jobs: int) -> None:
        """Take note of the trainings that are left to do, once all sets are made and it is known exactly."""
        self._preparations = Forecast([], 1)
        self._trainings = Forecast(trainings, jobs, paces=self._paces)

    def prepared(self, what: str, done: int, total: int) -> None:
        """Pass on a report of a defender's work."""
        for number in self._numbers.get(what, [])[:1]:
            self._preparations.step(number, done / total)
            if done == total:
                self._numbers[what].pop(0)
        self._report_remaining()
        if self._listener is not None:
            self._listener.preparing(what, done, total)

    def trained(self, number: int, share: float) -> None:
        """Take note that a training, by its place in the plan, has done a share of its steps, 0 to 1."""
        self._trainings.step(number, share)
        self._report_remaining()

    def _report_remaining(self) -> None:
        left = self._preparations.remaining(), self._trainings.remaining()
        if self._listener is not None and left[0] is not None and left[1] is not None:
            self._listener.remaining(left[0] + left[1])
