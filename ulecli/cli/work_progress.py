"""Progress of long work: bars on a terminal, and plain lines elsewhere, which end up in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ulecli.cli.console import say

SILENCE = 60.0
"""Seconds without a line, off a terminal, after which one says what is left."""


class Report(Protocol):
    """Takes note of a part of the work."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """So much of a part is done.

        Args:
            what: The part, in words.
            done: How much of it is done.
            total: How much there is.
            note: What else is known, in words.
        """


@contextmanager
def reporting(state: str, *, quiet: bool = False) -> Iterator[Report]:
    """Show on stderr how work goes on that is made of parts: a line for each that is done, and bars or lines.

    Example::

        with reporting("reading the data set", quiet=quiet) as report:
            for step in range(100):
                ...
                report("training", step + 1, 100)

    Args:
        state: What happens before the first report, in words.
        quiet: Show nothing.
    """
    if quiet or sys.stderr is None:  # None: closed by whoever started it
        yield lambda what, done, total, note="": None
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        with work_lines(state) as lines:
            yield lines.step


def duration(seconds: float) -> str:
    """Return a time in words, as exact as an estimate is: "less than a minute", "about 2 h 10 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"about {minutes} min"
    hours, minutes = divmod(round(minutes, -1), 60)
    if hours < 24:
        return f"about {hours} h" + (f" {minutes} min" if minutes else "")
    days = seconds / 86400
    return f"about {days:.1f} days" if days < 10 else f"about {days:.0f} days"


class WorkLines:
    """Lines about work, and the one that is written when there was none for a while.

    Attributes:
        state: That line: what is done, and what is left.
    """

    def __init__(self, state: str, write: Callable[[str], None], silence: float) -> None:
        """Begin with a state; arguments as of `work_lines`."""
        self.state = state
        self._write, self._silence = write, silence
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._begun: dict[str, tuple[float, int]] = {}

    def say(self, text: str) -> None:
        """Write a line."""
        with self._lock:
            self._last = time.monotonic()
            self._write(text)

    def note(self, what: str, done: int, total: int, note: str = "") -> None:
        """Take note of a part of the work, see `Report`, without a line for its end."""
        began, first = self._begun.setdefault(what, (time.monotonic(), done))
        more = f"; {note}" if note else ""
        if first < done < total:
            pace = (time.monotonic() - began) / (done - first)
            more += f"; {duration(pace * (total - done))} left"
        self.state = f"{what}: {done:,} of {total:,}{more}"

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Take note of a part of the work, see `Report`, and write a line when all of it is done."""
        self.note(what, done, total, note)
        if done == total:
            self.say(self.state)

    def watch(self, ended: threading.Event) -> None:
        """Write the state whenever nothing was written for a while, until the end."""
        while not ended.wait(max(0.0, self._last + self._silence - time.monotonic())):
            if time.monotonic() - self._last >= self._silence:
                self.say(self.state)


@contextmanager
def work_lines(
    state: str, write: Callable[[str], None] = say, silence: float = SILENCE
) -> Iterator[WorkLines]:
    """Lend what writes plain lines, one at least in so many seconds.

    Args:
        state: What happens before the first report, in words.
        write: Takes a line; called from two threads, never from both at once.
        silence: Seconds without a line.
    """
    lines = WorkLines(state, write, silence)
    with watched(lines):
        yield lines


@contextmanager
def watched(lines: WorkLines) -> Iterator[None]:
    """Let lines be written from a thread of their own, even while no report comes for minutes."""
    ended = threading.Event()
    thread = threading.Thread(target=lines.watch, args=[ended], name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            words = f"{what}: {note}" if note else what
            bars.update(tasks[what], completed=done, total=total, description=words)

        yield report
