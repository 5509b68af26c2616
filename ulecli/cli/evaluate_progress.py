"""Progress of `ulecli evaluate`: bars on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ulecli.cli.console import say
from ulecli.cli.work_progress import SILENCE, WorkLines, duration, watched

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ulecli.evaluation.listener import Listener
    from ulecli.evaluation.results.record import Arm, RunRecord

_NAMED = 12
"""Sets of images that are named at the start; of more, how many."""


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener | None]:
    """Show on stderr how an evaluation goes on; yields None if quiet."""
    if quiet or sys.stderr is None:  # None: closed by whoever started it
        yield None
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        with lines() as listener:
            yield listener


def _title(arm: Arm) -> str:
    return f"{arm.poison} · {arm.exploiter} · {arm.arch} · seed {arm.seed}"


def _figures(record: RunRecord) -> str:
    stopped = "" if record.stopped is None else f", stopped {record.stopped:.1f} %"
    return f"last {record.last:.1f} %, peak {record.peak:.1f} %{stopped}, {record.seconds:.0f} s"


def _announcement(sets: Sequence[str], trainings: int) -> str:
    names = [*sets[:_NAMED], *([f"{len(sets) - _NAMED} more"] if len(sets) > _NAMED else [])]
    return f"{trainings} training{'s' if trainings > 1 else ''}, on images called {', '.join(names)}"


def _expectation(works: Sequence[tuple[str, float | None]]) -> str:
    """Return in words how long each part of the work takes, and all of it; empty if there is none."""
    if not works:
        return ""
    parts = [
        f"{what}: {duration(seconds)}" if seconds is not None else f"{what}: not known yet"
        for what, seconds in works
    ]
    whole = sum(seconds for _, seconds in works if seconds is not None)
    if all(seconds is None for _, seconds in works):
        return "; ".join(parts)
    more = " and what is not known yet" if any(seconds is None for _, seconds in works) else ""
    return f"{'; '.join(parts)}; in all {duration(whole)}{more}" if len(parts) > 1 else parts[0]


class Lines(WorkLines):
    """A line for each part that is done, and one where there was none for a while; see `lines`."""

    def __init__(self, write: Callable[[str], None], silence: float) -> None:
        super().__init__("reading the data set", write, silence)
        self._announced = self._total = self._done = 0
        self._titles: list[str] = []
        self._left: float | None = None
        self._expected = False

    def starting(self, sets: Sequence[str], trainings: int) -> None:
        """Write how many trainings there will be."""
        self._announced = trainings
        self.state = "making the images that are trained on"
        self.say(_announcement(sets, trainings))

    def expecting(self, works: Sequence[tuple[str, float | None]]) -> None:
        """Write how long the work takes that begins now."""
        self._expected = bool(works) and all(seconds is not None for _, seconds in works)
        if text := _expectation(works):
            self.say(text)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Write that a part of a defender's work is done."""
        left = "" if self._left is None else f"; {duration(self._left)} left in all"
        self.state = f"{what}: {done:,} of {total:,}{left}"
        if done == total:
            self.say(self.state)

    def planned(self, arms: Sequence[Arm], epochs: Sequence[int]) -> None:
        """Write how many trainings were done in earlier runs."""
        self._titles, self._total = [_title(arm) for arm in arms], len(arms)
        self.state = f"0 of {len(arms)} trainings done"
        if 0 < len(arms) < self._announced:
            self.say(f"{self._announced - len(arms)} of them are done already, {len(arms)} are left")

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        """Write nothing: a training may have hundreds."""

    def remaining(self, seconds: float) -> None:
        """Remember what is left, and write it once if it was not known beforehand."""
        self._left = seconds
        if not self._titles:  # defenders are at work
            return
        self.state = f"{self._done} of {self._total} trainings done, {duration(seconds)} left"
        if not self._expected and self._done < self._total:
            self.say(self.state)
        self._expected = True

    def finished(self, number: int, record: RunRecord) -> None:
        """Write what a training gave, and what is left."""
        self._done += 1
        left = self._total - self._done
        more = f"; {left} left" if left else ""
        if left and self._left is not None:
            more += f", {duration(self._left)}"
        self.state = f"{self._done} of {self._total} trainings done"
        self.say(f"{self._titles[number]}: {_figures(record)}{more}")


@contextmanager
def lines(write: Callable[[str], None] = say, silence: float = SILENCE) -> Iterator[Lines]:
    """Lend a listener that writes plain lines, one at least in so many seconds once there is work.

    Args:
        write: Takes a line; called from two threads, never from both at once.
        silence: Seconds without a line.
    """
    listener = Lines(write, silence)
    with watched(listener):  # not by the reports: where a net is attacked at the end, none comes for minutes
        yield listener


@contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Left(TimeRemainingColumn):
        """What is left: by the evaluation's own estimate where a task has one."""

        def render(self, task: Task) -> Text:
            left = task.fields.get("left")
            return super().render(task) if left is None else Text(left, style="progress.remaining")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Left(),
        TextColumn("{task.fields[figure]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    """One bar for all trainings, and one for each that runs or is prepared."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._work: dict[str, TaskID] = {}
        self._runs: dict[int, TaskID] = {}
        self._titles: list[str] = []
        self._epochs: list[int] = []
        self._epochs_done: dict[int, int] = {}
        self._all: TaskID | None = None
        self._left = ""

    def starting(self, sets: Sequence[str], trainings: int) -> None:
        """Leave a line that says how many trainings there will be."""
        self._bars.console.print(_announcement(sets, trainings), markup=False, highlight=False)

    def expecting(self, works: Sequence[tuple[str, float | None]]) -> None:
        """Leave a line that says how long the work takes that begins now."""
        if text := _expectation(works):
            self._bars.console.print(text, markup=False, highlight=False)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Move the bar of a defender's work; what is done with its first report leaves a line."""
        if what not in self._work and done == total:
            self._bars.console.print(f"{what}: {done:,} of {total:,}", markup=False, highlight=False)
        if what not in self._work:
            self._work[what] = self._bars.add_task(what, total=total, figure="")
        self._bars.update(self._work[what], completed=done, visible=done < total, figure=self._left)

    def planned(self, arms: Sequence[Arm], epochs: Sequence[int]) -> None:
        """Open the bar of all epochs."""
        self._titles = [_title(arm) for arm in arms]
        self._epochs = list(epochs)
        what = f"{len(arms)} trainings, epochs"
        self._all = self._bars.add_task(what, total=sum(epochs), figure="", left="")

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        """Move the bars of a training and of all."""
        if number not in self._runs:
            self._runs[number] = self._bars.add_task(
                f"  {self._titles[number]}", total=self._epochs[number], figure=""
            )
        self._bars.update(self._runs[number], completed=epoch, figure=f"{accuracy:.1f} %")
        if self._all is not None:  # one that goes on has epochs behind it
            self._bars.advance(self._all, epoch - self._epochs_done.get(number, 0))
        self._epochs_done[number] = epoch

    def remaining(self, seconds: float) -> None:
        """Show what is left of all."""
        self._left = f"{duration(seconds)} left in all"
        if self._all is not None:
            self._bars.update(self._all, left=f"{duration(seconds)} left")

    def finished(self, number: int, record: RunRecord) -> None:
        """Close the bar of a training and leave a line."""
        if number in self._runs:
            self._bars.remove_task(self._runs.pop(number))
        line = f"{self._titles[number]}: {_figures(record)}"
        self._bars.console.print(line, markup=False, highlight=False)
