"""The bars of `ulecli evaluate`: one for all trainings, one for each that runs, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ulecli.evaluation.results.record import Arm, RunRecord
    from ulecli.evaluation.run import Listener


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener | None]:
    """Show how an evaluation goes on; yields None if quiet or not on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figure]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._work: dict[str, TaskID] = {}
        self._runs: dict[int, TaskID] = {}
        self._names: list[str] = []
        self._epochs: list[int] = []
        self._all: TaskID | None = None

    def preparing(self, what: str, done: int, total: int) -> None:
        """Move the bar of a defender's work."""
        if what not in self._work:
            self._work[what] = self._bars.add_task(what, total=total, figure="")
        self._bars.update(self._work[what], completed=done, visible=done < total)

    def planned(self, arms: list[Arm], epochs: list[int]) -> None:
        """Open the bar of all epochs."""
        self._names = [f"  {arm.poison} · {arm.exploiter} · {arm.arch} · seed {arm.seed}" for arm in arms]
        self._epochs = epochs
        what = f"{len(arms)} trainings, epochs"
        self._all = self._bars.add_task(what, total=sum(epochs), figure="")

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        """Move the bars of a training and of all."""
        if number not in self._runs:
            self._runs[number] = self._bars.add_task(
                self._names[number], total=self._epochs[number], figure=""
            )
        self._bars.update(self._runs[number], completed=epoch, figure=f"{accuracy:.1f} %")
        if self._all is not None:
            self._bars.advance(self._all)

    def finished(self, number: int, record: RunRecord) -> None:
        """Close the bar of a training and leave a line."""
        if number in self._runs:
            self._bars.remove_task(self._runs.pop(number))
        figures = f"last {record.last:.1f} %, peak {record.peak:.1f} %, {record.seconds:.0f} s"
        self._bars.console.print(f"{self._names[number].strip()}: {figures}")
