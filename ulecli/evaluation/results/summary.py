"""What several trainings of an exploiter say together. Standard library only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ulecli.evaluation.results.record import Cell, RunRecord


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity.

    Attributes:
        n: How many.
        mean: Their mean.
        std: Their sample standard deviation (n - 1 in the denominator); None for one alone.
    """

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise one or more values."""
        known = tuple(values)
        return cls(len(known), statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True)
class Summary:
    """The runs of one cell.

    Attributes:
        cell: What they have in common.
        n: How many they are.
        last: Test accuracy of the finished nets, in percent.
        peak: Best test accuracy after any epoch, in percent.
        stopped: Test accuracy after the epoch that is best on validation images, in percent; None where not
            every run has any.
    """

    cell: Cell
    n: int
    last: Spread
    peak: Spread
    stopped: Spread | None

    @classmethod
    def of(cls, runs: Sequence[RunRecord]) -> Summary:
        """Summarise one or more runs of one cell.

        Raises:
            ValueError: There is no run, or they are of several cells.
        """
        cells = {run.arm.cell for run in runs}
        if len(cells) != 1:
            raise ValueError(f"a summary is of the runs of one cell, not of {len(cells)}")
        stopped = [run.stopped for run in runs if run.stopped is not None]
        return cls(
            cell=cells.pop(),
            n=len(runs),
            last=Spread.of(run.last for run in runs),
            peak=Spread.of(run.peak for run in runs),
            stopped=Spread.of(stopped) if len(stopped) == len(runs) else None,
        )


def by_cell(records: Iterable[RunRecord]) -> dict[Cell, list[RunRecord]]:
    """Sort records into their cells, both in the order in which they come."""
    cells: dict[Cell, list[RunRecord]] = {}
    for record in records:
        cells.setdefault(record.arm.cell, []).append(record)
    return cells
