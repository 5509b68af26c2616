"""Measure what Ray costs a training, and what a second worker gains, beside one process.

    python benchmarks/ray_speed.py
    python benchmarks/ray_speed.py --trainings 8 --epochs 8 --repeats 3

Equal trainings of preset quick's net on the drawn shapes, one thread each, run in this process, on one worker
of Ray and on two. The three take turns, and workers are warm: starting Ray and Python on them is said by
itself. The overhead is what a training costs beside its own seconds, as its record has them: to send, start
and collect it. The workers are busy for the share of the time in which they train; what is lacking to 1 is
lost, to Ray or at the end, whatever else the machine does. The speed-up is the time of one worker over that
of two: it is 2 at best, and less where two cores are not free.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from timing import conditions

from ulecli.data.shapes import shapes
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.ray_workers import on_ray
from ulecli.evaluation.set_files import TrainingSet, write_array
from ulecli.evaluation.task import Task
from ulecli.evaluation.workers import LocalWorkers, Workers

CONFIG = EvaluateConfig(dataset="shapes", workers="ray", threads=2, jobs=2)


def training_set(name: str, count: int, folder: Path) -> TrainingSet:
    """Write drawn shapes where trainings read them."""
    images = shapes(count, seed=count)
    file, labels = folder / f"{name}.npy", folder / f"{name}.labels.npy"
    write_array(file, images.images)
    write_array(labels, images.labels)
    return TrainingSet(name, file, labels, images.classes, images.digest)


class Turn(NamedTuple):
    """One run of all trainings in one way.

    Attributes:
        whole: Seconds from the first to the last.
        training: The seconds of all trainings together, by their records.
    """

    whole: float
    training: float


def turn(workers: Workers, tasks: list[Task], jobs: int) -> Turn:
    """Run all trainings, so many at a time.

    Raises:
        SystemExit: One is missing, or was done twice.
    """
    start = time.perf_counter()
    done = list(workers.run(tasks, jobs))
    whole = time.perf_counter() - start
    if sorted(one.number for one in done) != list(range(len(tasks))):
        raise SystemExit("a training is missing, or was done twice")
    return Turn(whole, sum(one.seconds for one in done))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trainings", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    protocol = replace(PRESETS["quick"].small, epochs=options.epochs)
    with tempfile.TemporaryDirectory() as name:
        train, test = training_set("train", 2000, Path(name)), training_set("test", 500, Path(name))
        tasks = [
            Task(train, test, protocol, "standard", 7, 0, seed, "cpu") for seed in range(options.trainings)
        ]
        began = time.perf_counter()
        with on_ray(CONFIG) as ray:
            list(ray.run(tasks[:2], 2))  # both workers import torch
            started = time.perf_counter() - began
            alone = replace(CONFIG, threads=1, jobs=1)
            ways: dict[str, tuple[Workers, int]] = {
                "this process": (LocalWorkers(alone), 1),
                "one worker": (replace(ray, config=alone), 1),
                "two workers": (ray, 2),
            }
            turns = [
                {name: turn(workers, tasks, jobs) for name, (workers, jobs) in ways.items()}
                for _ in range(options.repeats)
            ]
    print(conditions("ray", "torch"))
    print(f"{options.trainings} trainings of {options.epochs} epochs, median of {options.repeats} repeats")
    print(f"starting Ray and two trainings: {started:.1f} s")
    for name, (_, jobs) in ways.items():
        found = [one[name] for one in turns]
        over = median((jobs * one.whole - one.training) / len(tasks) for one in found)
        busy = median(one.training / (jobs * one.whole) for one in found)
        whole = median(one.whole for one in found)
        print(f"{name}: {whole:.1f} s, overhead {over:.3f} s a training, busy {busy:.3f} of the time")
    speed = median(one["one worker"].whole / one["two workers"].whole for one in turns)
    print(f"speed-up by a second worker: {speed:.2f}")


if __name__ == "__main__":
    main()
