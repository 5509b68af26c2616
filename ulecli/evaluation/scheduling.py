"""Many trainings, one after the other in this process or several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import psutil
import torch

from ulecli.errors import UleError
from ulecli.evaluation.task import Done, OnEpoch, OnStep, Task, trained
from ulecli.nets.threads import torch_threads

NEED = 1.5
"""GiB of memory that a process needs beside its pictures: torch, activations, a few copies in work."""


def run(
    tasks: Sequence[Task],
    *,
    jobs: int,
    threads: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> Iterator[Done]:
    """Train and yield what is done, in the order in which it ends.

    Args:
        tasks: What to train.
        jobs: Trainings at the same time. 1 trains in this process.
        threads: CPU threads of all jobs together.
        on_epoch: Called after every epoch.
        on_step: Called after the first step of each task, and then about once in
            `ulecli.evaluation.task.STEP_EVERY` seconds.

    Raises:
        UleError: a process died, most likely for want of memory.
    """
    if jobs <= 1:
        with torch_threads(threads):
            for number, task in enumerate(tasks):
                yield trained(number, task, task.images(), on_epoch, on_step)
        return
    # A fresh interpreter: a fork of a process whose threads have run is not safe.
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_enter, initargs=(news, max(1, threads // jobs))
    )
    try:
        waiting: set[Future[Done]] = {
            pool.submit(_train_apart, number, task) for number, task in enumerate(tasks)
        }
        while waiting:
            ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            _report(news, on_epoch, on_step)
            for future in ended:
                yield future.result()
    except BrokenProcessPool as error:
        raise UleError(
            "a training process died, most likely for want of memory; what is done is kept: take fewer --jobs"
        ) from error
    finally:
        # What runs is not waited for: its result could not be kept any more.
        for process in list(getattr(pool, "_processes", {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        news.close()


def fitting_jobs(wanted: int, tasks: int, cores: int, image_bytes: int) -> int:
    """Return how many trainings at a time cores and memory allow, at least 1.

    Args:
        wanted: What the user asked for; 0 for as many as possible.
        tasks: How many there are.
        cores: How many threads may run.
        image_bytes: Size of a training set.

    Raises:
        UleError: there is too little memory for the number that was asked for.
    """
    need = memory_need(image_bytes)
    room = max(1, int(_free_memory() / need))
    if wanted > room:
        raise UleError(
            f"--jobs {wanted} needs about {wanted * need / 2**30:.1f} GiB of memory, and there is room for "
            f"{room}; take fewer"
        )
    return max(1, min(wanted or cores, tasks, room))


def memory_need(image_bytes: int) -> int:
    """Return the bytes of memory that a training takes.

    Args:
        image_bytes: Size of its training set.
    """
    return int(NEED * 2**30) + 6 * image_bytes


def _free_memory() -> int:
    """Return the bytes that can be had; caches that give way count as free."""
    return int(psutil.virtual_memory().available)


_news: Any = None
"""Of a training process: the queue that its reports go into."""


def _enter(news: Any, threads: int) -> None:
    global _news
    _news = news
    # Ctrl-C on a terminal reaches every process; this one is ended by its parent, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that collects its results is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _train_apart(number: int, task: Task) -> Done:
    return trained(
        number,
        task,
        task.images(),
        lambda *report: _news.put(("epoch", report)),
        lambda *report: _news.put(("step", report)),
    )


def _report(news: Any, on_epoch: OnEpoch | None, on_step: OnStep | None) -> None:
    """Pass on what training processes have reported since the last time."""
    listeners: dict[str, Callable[..., None] | None] = {"epoch": on_epoch, "step": on_step}
    while True:
        try:
            what, report = news.get_nowait()
        except queue.Empty:
            return
        if (listener := listeners[what]) is not None:
            listener(*report)
