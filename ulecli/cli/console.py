"""Talking to the user: results on stdout, everything else on stderr, a progress bar only on a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ulecli.protection.outcome import PhotoOutcome

OnOutcome = Callable[[PhotoOutcome, int], None]


def say(text: str) -> None:
    """Write a line for the person, on stderr."""
    print(text, file=sys.stderr)


def put(record: dict[str, Any]) -> None:
    """Write a record for a program, on stdout: one line of ASCII JSON, whatever bytes a name is made of."""
    print(json.dumps(record, ensure_ascii=True, allow_nan=False), flush=True)


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[OnOutcome]:
    """Show a bar with rate and remaining time while photos are done; nothing if quiet or not on a terminal.

    Yields:
        What to call with each outcome and the number of photos in all.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():  # None: closed by whoever started it
        yield lambda outcome, total: None
        return
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
