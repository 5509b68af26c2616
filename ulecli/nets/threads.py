"""How many threads torch uses, and work that is spread over threads with one of torch's each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LISTEN_EVERY = 0.5
"""Seconds between two chances for Ctrl-C, which on some systems does not end a wait without a limit."""


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads as long as the block runs, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def spread(
    work: Callable[[Item, Event], Result],
    items: Sequence[Item],
    threads: int,
    done: Callable[[Item, Result], None],
) -> None:
    """Do work on each of the items, several at a time, each with a single thread of torch.

    Where torch shares one operator among threads, they wait for each other after each operator, and for the
    one whose core another process has. These wait for nobody: whoever is free takes the next item.

    Args:
        work: Takes an item, and an event that is set once its result is no longer wanted; it then raises
            whatever it likes. Called in several threads at once; with `threads` of 1, in this one.
        items: What there is to do, begun in this order.
        threads: How many items at a time.
        done: Called in this thread with an item and its result, in the order in which they end.

    Raises:
        Exception: What `work` or `done` raised first. Then no item is begun any more, and when this returns
            none is in work. It is the same with KeyboardInterrupt.
    """
    stop = Event()
    # torch counts threads for each thread, but new ones take the number that was set last, wherever that was:
    # set back here at the end, it is as before for this thread and for all that are started later.
    with torch_threads(1):
        if threads <= 1:
            for item in items:
                done(item, work(item, stop))
            return
        pool = ThreadPoolExecutor(threads, "spread", initializer=torch.set_num_threads, initargs=(1,))
        try:
            left = {pool.submit(work, item, stop): item for item in items}
            while left:
                ended, _ = wait(left, timeout=_LISTEN_EVERY, return_when=FIRST_COMPLETED)
                for future in ended:
                    done(left.pop(future), future.result())
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
