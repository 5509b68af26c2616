"""Progress of `ulecli protect`: a bar on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from ulecli.cli.console import say
from ulecli.cli.work_progress import SILENCE, work_lines
from ulecli.protection.outcome import PhotoOutcome

OnOutcome = Callable[[PhotoOutcome, int], None]
"""Called with each outcome and the number of photos in all."""


@contextmanager
def progress(*, quiet: bool) -> Iterator[OnOutcome]:
    """Show on stderr how many photos are done and what is left; yields what to call with each outcome."""
    if quiet or sys.stderr is None:  # None: closed by whoever started it
        yield lambda outcome, total: None
    elif sys.stderr.isatty():
        with _bar() as advance:
            yield advance
    else:
        with photo_lines() as advance:
            yield advance


@contextmanager
def photo_lines(write: Callable[[str], None] = say, silence: float = SILENCE) -> Iterator[OnOutcome]:
    """Lend what counts outcomes, and writes a line whenever there was none for a while.

    There is none for the end: the summary says it.

    Args:
        write: Takes a line.
        silence: Seconds without a line.
    """
    with work_lines("no photo is done yet", write, silence) as lines:
        numbers = count(1)
        yield lambda outcome, total: lines.note("photos done", next(numbers), total)


@contextmanager
def _bar() -> Iterator[OnOutcome]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("protecting", total=None, rate="")

        def advance(outcome: PhotoOutcome, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, total=total, advance=1, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
