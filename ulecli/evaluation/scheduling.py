"""Many trainings, one after the other in this process or several at a time in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ulecli.errors import UleError
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.exploiters.training import ExploitResult, train_exploiter
from ulecli.evaluation.training_sets import TrainingSet

NEED = 1.5
"""GiB of memory that a process needs beside its pictures: torch, activations, a few copies in work."""

OnEpoch = Callable[[int, int, float], None]
"""Told the number of a task, of its epoch from 1, and the test accuracy in percent."""


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        train: What is trained on.
        test: Clean test images.
        protocol: How.
        exploiter: Name of the countermeasure.
        attack_steps: Steps of PGD, where training is adversarial.
        robust_images: Test images that robust accuracy is measured on.
        seed: Of everything random.
        device: A torch device.
    """

    train: TrainingSet
    test: TrainingSet
    protocol: Protocol
    exploiter: str
    attack_steps: int
    robust_images: int
    seed: int
    device: str


@dataclass(frozen=True)
class Done:
    """A finished task: its number, what came out, and the wall-clock time in seconds."""

    number: int
    result: ExploitResult
    seconds: float


def run(tasks: Sequence[Task], *, jobs: int, threads: int, on_epoch: OnEpoch | None = None) -> Iterator[Done]:
    """Train and yield what is done, in the order in which it ends.

    Args:
        tasks: What to train.
        jobs: Trainings at the same time. 1 trains in this process.
        threads: CPU threads of all jobs together.
        on_epoch: Told of every epoch.

    Raises:
        UleError: a process died, most likely for want of memory.
    """
    if jobs <= 1:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for number, task in enumerate(tasks):
                yield _train(number, task, on_epoch)
        finally:
            torch.set_num_threads(before)
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
            _tell(news, on_epoch)
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
    need = NEED * 2**30 + 6 * image_bytes
    room = max(1, int(_free_memory() / need))
    if wanted > room:
        raise UleError(
            f"--jobs {wanted} needs about {wanted * need / 2**30:.1f} GiB of memory, and there is room for "
            f"{room}; take fewer"
        )
    return max(1, min(wanted or cores, tasks, room))


def _free_memory() -> float:
    """Return the bytes that can be had, or infinity where the system doesn't tell."""
    # Not SC_AVPHYS_PAGES, which leaves out the caches that give way.
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return float("inf")


_news: Any = None
"""Of a training process: where it tells its epochs."""


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
    return _train(number, task, lambda *told: _news.put(told))


def _train(number: int, task: Task, on_epoch: OnEpoch | None) -> Done:
    start = time.perf_counter()
    result = train_exploiter(
        task.train.read(),
        task.test.read(),
        task.protocol,
        find_exploiter(task.exploiter, attack_steps=task.attack_steps),
        task.seed,
        device=task.device,
        robust_images=task.robust_images,
        progress=(lambda epoch, accuracy: on_epoch(number, epoch, accuracy)) if on_epoch else None,
    )
    return Done(number, result, round(time.perf_counter() - start, 2))


def _tell(news: Any, on_epoch: OnEpoch | None) -> None:
    while True:
        try:
            told = news.get_nowait()
        except queue.Empty:
            return
        if on_epoch is not None:
            on_epoch(*told)
