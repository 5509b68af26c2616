"""One training of an evaluation: what is to be done, and how a process does it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ulecli.data.images import ImageSet
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
