"""Many trainings, one after the other in this process or several at a time in processes of their own."""

from __future__ import annotations

import math
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
from typing import Any

import psutil
import torch

from ulecli.data.images import ImageSet
from ulecli.errors import UleError
from ulecli.evaluation.exploiters.checkpoints import Checkpoint
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.exploiters.result import ExploitResult, Progress
from ulecli.evaluation.exploiters.result import OnStep as OnStepOfOne
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.evaluation.exploiters.transfer import train_transfer
from ulecli.evaluation.plugins import Plugin, registries
from ulecli.evaluation.set_files import TrainingSet
from ulecli.nets.backbones.opening import BackboneRequest, open_backbone
from ulecli.nets.devices import device_name
from ulecli.nets.precision import has_bfloat16
from ulecli.nets.threads import torch_threads

NEED = 1.5
"""GiB of memory that a process needs beside its pictures: torch, activations, a few copies in work."""

PACKAGES = ("torch", "torchvision", "numpy", "pillow")
"""What has a say in the figures of every training."""

OnEpoch = Callable[[int, int, float], None]
"""Called with the number of a task, of its epoch from 1, and the test accuracy in percent."""

OnStep = Callable[[int, float], None]
"""Called with the number of a task and the share of its steps that are done, 0 to 1."""

STEP_EVERY = 1.0
"""Seconds between two reports of the steps of one training, at least."""


@dataclass(frozen=True)
class Images:
    """What a training reads.

    Attributes:
        train: What is trained on.
        test: Clean test images.
        validation: Clean images that the exploiter validates on; None for none.
    """

    train: ImageSet
    test: ImageSet
    validation: ImageSet | None


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        train: What is trained on.
        test: Clean test images.
        protocol: How; None where the exploiter starts from a pretrained net and has its own way.
        exploiter: Name of the countermeasure.
        attack_steps: Steps of PGD, where training is adversarial.
        robust_images: Test images that robust accuracy is measured on.
        seed: Of everything random.
        device: A torch device.
        plugins: Where the exploiter and the net may come from, beside those that ship.
        backbone: The pretrained net that the exploiter starts from; None where it trains from scratch.
        checkpoint: What an interrupted training goes on from; None for nothing.
        validation: Clean images that the exploiter validates on after each epoch; None for none.
    """

    train: TrainingSet
    test: TrainingSet
    protocol: Protocol | None
    exploiter: str
    attack_steps: int
    robust_images: int
    seed: int
    device: str
    plugins: tuple[Plugin, ...] = ()
    backbone: BackboneRequest | None = None
    checkpoint: Checkpoint | None = None
    validation: TrainingSet | None = None

    def images(self) -> Images:
        """Map what the training reads."""
        own = self.validation
        return Images(self.train.read(), self.test.read(), None if own is None else own.read())


@dataclass(frozen=True)
class Done:
    """A finished task.

    Attributes:
        number: Of the task.
        result: What came out.
        seconds: Wall-clock time, with that of interrupted runs before this one.
        threads: How many CPU threads it had, in each of these runs, each number once.
        device: What did the work, in words.
    """

    number: int
    result: ExploitResult
    seconds: float
    threads: tuple[int, ...]
    device: str


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
        on_step: Called after the first step of each task, and then about once in `STEP_EVERY` seconds.

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


def trained(
    number: int, task: Task, images: Images, on_epoch: OnEpoch | None, on_step: OnStep | None
) -> Done:
    """Do a task in this process; see `run`."""
    start = time.perf_counter()
    last = -math.inf

    def stepped(share: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if on_step is not None and now - last >= STEP_EVERY:
            last = now
            on_step(number, share)

    progress = (lambda epoch, accuracy: on_epoch(number, epoch, accuracy)) if on_epoch else None
    result = _learned(task, images, progress, stepped)
    seconds, threads = time.perf_counter() - start, {torch.get_num_threads()}
    if task.checkpoint is not None:
        seconds, threads = seconds + task.checkpoint.seconds, threads | {*task.checkpoint.threads}
    used = tuple(sorted(threads))
    return Done(number, result, round(seconds, 2), used, _worked_on(task.device, used[-1]))


def _worked_on(device: str, threads: int) -> str:
    """Return what did a training, in words, for its record."""
    if device != "cpu":
        return device_name(device)
    precision = "" if has_bfloat16(device) else ", float32"
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}{precision}"


def _learned(task: Task, images: Images, progress: Progress | None, on_step: OnStepOfOne) -> ExploitResult:
    known = registries(task.plugins)
    measure = find_exploiter(task.exploiter, attack_steps=task.attack_steps, families=known.exploiters)
    common: dict[str, Any] = {
        "validation": images.validation,
        "device": task.device,
        "progress": progress,
        "on_step": on_step,
        "checkpoint": task.checkpoint,
    }
    if task.backbone is not None:
        return train_transfer(
            images.train, images.test, measure, open_backbone(task.backbone), task.seed, **common
        )
    assert task.protocol is not None
    robust, nets = task.robust_images, known.nets
    return train_exploiter(
        images.train,
        images.test,
        task.protocol,
        measure,
        task.seed,
        robust_images=robust,
        nets=nets,
        **common,
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
