"""Protecting photos in processes of their own: what goes to them and comes from them.

What makes the perturbations stays in the main process, where one GPU serves all workers, and with it the key;
between the two goes the small working image. What comes from a worker is checked, since a file may have taken
it over: the ranges here are those that a worker of good faith keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ulecli.formats.memory import Memory
from ulecli.imaging.delta import SMALLEST_GRID
from ulecli.perturb.perturber import Perturber
from ulecli.protection.photo import Job, Made, Perturb, Sample, make, sample
from ulecli.system.isolated import IsolatedWorker
from ulecli.system.plain_data import BadMessage, Message, plain, restored
from ulecli.system.serving import Ask, Handler
from ulecli.units import LEVELS

ENTRY = "ulecli.protection.worker:photo_handler"

_MAX_CONTENT = 16 << 20
_MAX_SIDE = 1 << 30


def make_in(worker: IsolatedWorker, job: Job, perturb: Perturb) -> Made:
    """Have a worker protect one photo; see `ulecli.protection.photo.make`.

    Args:
        worker: Of `ENTRY`.
        job: What to do.
        perturb: Called in this process, once.

    Raises:
        PhotoError: It can't be protected; or the worker died of it, took too long, or sent what it must not.
        PhotoSkipped: It is left alone on purpose.
    """
    asked = False

    def answer(question: Message) -> Message:
        nonlocal asked
        if asked:
            raise BadMessage("asks twice")
        asked = True
        return {"delta": perturb(_sample(question, job))}

    return worker.call(plain(job), lambda made: _made(made, job), answer, max_content=_MAX_CONTENT)


def protected_in(
    worker: IsolatedWorker,
    job: Job,
    perturber: Perturber,
    direction: NDArray[np.float32],
    decoded: Callable[[], None] = lambda: None,
) -> tuple[Made, bool]:
    """Have a worker protect one photo by what a perturber finds here.

    Args:
        worker: Of `ENTRY`.
        job: What to do.
        perturber: What makes the perturbation.
        direction: (D,) where the photo is moved to.
        decoded: Called once the photo is, before anything is written.

    Returns:
        What came of it, and whether the surrogate sees the photo moved by it.

    Raises:
        PhotoError: As `make_in`.
        PhotoSkipped: It is left alone on purpose.
    """
    recognised = False

    def perturb(sample: Sample) -> NDArray[np.int8]:
        nonlocal recognised
        decoded()
        images, directions = sample.image[None], direction[None]
        aspects = np.array([sample.aspect], np.float32)
        deltas = perturber(images, directions, sample.amplitudes[None], aspects)
        recognised = bool(perturber.recognised(images, directions, deltas)[0])
        delta: NDArray[np.int8] = deltas[0]
        return delta

    made = make_in(worker, job, perturb)
    return made, recognised


def sample_in(worker: IsolatedWorker, job: Job) -> Sample:
    """Have a worker show what a photo's perturbation would be made from; see `photo.sample`.

    Raises:
        PhotoError: As `make_in`.
        PhotoSkipped: It is left alone on purpose.
    """
    job = replace(job, sampled=True)
    return worker.call(plain(job), lambda found: _sample(found, job), max_content=_MAX_CONTENT)


def photo_handler() -> Handler:
    """Return what protects or shows a photo for each request, in the process of a worker."""
    memory = Memory()

    def handle(request: Message, ask: Ask) -> Message:
        job = restored(Job, request)

        def perturb(sample: Sample) -> NDArray[np.int8]:
            delta: NDArray[np.int8] = ask(plain(sample))["delta"]
            return delta

        answer: Message = plain(sample(job, memory) if job.sampled else make(job, perturb, memory))
        return answer

    return handle


def _sample(content: Message, job: Job) -> Sample:
    """Return what a worker shows of a photo, if it can be."""
    found = restored(Sample, content)
    image, amplitudes = found.image, found.amplitudes
    cells = image.shape[1:]
    smallest = job.grid if job.sampled else min(SMALLEST_GRID, job.grid)
    square = len(cells) == 2 and cells[0] == cells[1] and smallest <= cells[0] <= job.grid
    if image.dtype != np.float32 or image.shape[:1] != (3,) or not square:
        raise BadMessage("asks for the perturbation of something else than a working image")
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise BadMessage("asks for the perturbation of levels that no picture has")
    if amplitudes.dtype != np.float32 or amplitudes.shape != (1, *cells):
        raise BadMessage("asks for a perturbation without saying how far")
    if not (np.isfinite(amplitudes).all() and amplitudes.min() > 0 and amplitudes.max() <= job.epsilon):
        raise BadMessage("asks for a perturbation beyond the bound")
    if not 0 < found.aspect < math.inf:
        raise BadMessage("asks for the perturbation of a picture without a shape")
    return found


def _made(content: Message, job: Job) -> Made:
    made = restored(Made, content)
    measured = made.measured
    sides = 0 < measured.width <= _MAX_SIDE and 0 < measured.height <= _MAX_SIDE
    changes = 0 <= measured.max_change <= job.epsilon and 0 <= (measured.max_change_on_disk or 0) <= LEVELS
    hashes = len(made.sha256) == len(made.source.sha256) == 32 and made.source.size >= 0
    if not (sides and changes and hashes):
        raise BadMessage("reports of a photo what can't be")
    return made
