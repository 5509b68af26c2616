"""Progress of `ulecli craft`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from ulecli.cli.console import say

SILENCE = 60.0
"""Seconds without a line, off a terminal, after which there is one."""


@contextlib.contextmanager
def crafting(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Lend what is called with what is done, how much of it, and how much there is; None if quiet."""
    if quiet or sys.stderr is None:
        yield None
        return
    if not sys.stderr.isatty():
        yield lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("crafting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def lines(write: Callable[[str], None] = say, silence: float = SILENCE) -> Callable[[str, int, int], None]:
    """Return what writes a line for every new thing that is done, and one now and then while it is."""
    last, before = time.monotonic(), ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal last, before
        if what != before or time.monotonic() - last >= silence:
            last, before = time.monotonic(), what
            write(f"{what}: {done:,} of {total:,}")

    return report
