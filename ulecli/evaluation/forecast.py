"""How long the trainings of an evaluation still take, measured on the steps that are done."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

ENOUGH = 2.0
"""Seconds of steps that are measured before there is an estimate."""


@dataclass(frozen=True)
class Work:
    """One training that is to be done.

    Attributes:
        cost: In passes of one image forward and back; only ratios count.
        kind: Trainings of one kind take as long for one unit of cost.
    """

    cost: float
    kind: Hashable


@dataclass
class _Measured:
    """What is known of a training: when its first step ended, and how far it had come when last heard of."""

    since: float
    share_then: float
    now: float
    share: float


class Forecast:
    """Estimates what is left.

    The time for one unit of cost is measured for each kind of training between its first step and its last,
    so that starting a process and reading the images do not count. Kinds that no step is known of are taken
    to be as fast as those that are known.
    """

    def __init__(
        self,
        works: Sequence[Work],
        jobs: int,
        clock: Callable[[], float] = time.monotonic,
        paces: Mapping[Hashable, float] | None = None,
    ) -> None:
        """Begin with nothing done.

        Args:
            works: The trainings in the order in which they start.
            jobs: How many run at the same time, at least 1.
            clock: Returns the time in seconds.
            paces: By kind, the seconds for one unit of cost that were measured beforehand; they hold until
                more is known.
        """
        self._paces = dict(paces or {})
        self._works, self._jobs, self._clock = tuple(works), jobs, clock
        self._measured: dict[int, _Measured] = {}

    def step(self, number: int, share: float) -> None:
        """Learn that a training, by its place, has done a share of its steps, 0 to 1."""
        now = self._clock()
        found = self._measured.setdefault(number, _Measured(now, share, now, share))
        found.now, found.share = now, share

    def finished(self, number: int) -> None:
        """Learn that a training is done."""
        self.step(number, 1.0)

    def remaining(self) -> float | None:
        """Return the seconds until all are done; None while too little is measured."""
        paces = {kind: self._pace_of(kind) for kind in {work.kind for work in self._works}}
        usual = self._pace(self._measured)
        left = []
        for number, work in enumerate(self._works):
            share = self._measured[number].share if number in self._measured else 0.0
            own = paces[work.kind]
            pace = usual if own is None else own
            if pace is None and share < 1:
                return None
            left.append((1 - share) * work.cost * (pace or 0.0))
        running = [number for number, found in self._measured.items() if found.share < 1]
        waiting = [number for number in range(len(left)) if number not in self._measured]
        ends = [left[number] for number in running]
        ends += [0.0] * (self._jobs - len(ends))
        heapq.heapify(ends)
        for number in waiting:  # each goes to the job that is free first
            heapq.heapreplace(ends, ends[0] + left[number])
        return max(ends)

    def _pace_of(self, kind: Hashable) -> float | None:
        """Return the seconds for one unit of cost of a kind; None if nothing was measured of it."""
        own = self._pace(key for key in self._measured if self._works[key].kind == kind)
        return self._paces.get(kind) if own is None else own

    def _pace(self, numbers: Iterable[int]) -> float | None:
        """Return the seconds for one unit of cost that some trainings took; None if they say too little."""
        seconds = cost = 0.0
        for number in numbers:
            found = self._measured[number]
            seconds += found.now - found.since
            cost += (found.share - found.share_then) * self._works[number].cost
        return seconds / cost if cost > 0 and seconds >= ENOUGH else None
