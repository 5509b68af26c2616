"""Measure what Ray costs a training, and what a second worker gains, beside one process.

    python benchmarks/ray_speed.py
    python benchmarks/ray_speed.py --trainings 8 --epochs 8 --repeats 3

Equal trainings of preset quick's net on the drawn shapes, one thread each, run in this process, on one worker
of Ray and on two. The three take turns, and workers are warm: starting Ray and Python on them is said by
itself. The overhead is the time that a training takes longer on one worker than in this process; the
efficiency is the time of one worker over twice that of two, 1 where nothing is lost. Two cores must be free.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from timing import conditions

from ulecli.data.shapes import shapes
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.ray_workers import on_ray
from ulecli.evaluation.scheduling import Done, Task
from ulecli.evaluation.set_files import TrainingSet, write_array
from ulecli.evaluation.workers import LocalWorkers, Workers

CONFIG = EvaluateConfig(dataset="shapes", workers="ray", threads=2, jobs=2)


def training_set(name: str, count: int, folder: Path) -> TrainingSet:
    """Write drawn shapes where trainings read them."""
    images = shapes(count, seed=count)
    file, labels = folder / f"{name}.npy", folder / f"{name}.labels.npy"
    write_array(file, images.images)
    write_array(labels, images.labels)
    return TrainingSet(name, file, labels, images.classes, images.digest)


def seconds(trainings: Callable[[], Iterator[Done]], expected: int) -> float:
    """Run trainings to their end and return how long that took.

    Raises:
        SystemExit: They were others than expected.
    """
    start = time.perf_counter()
    done = list(trainings())
    if sorted(one.number for one in done) != list(range(expected)):
        raise SystemExit("a training is missing, or was done twice")
    return time.perf_counter() - start


def measured(tasks: list[Task], ways: dict[str, tuple[Workers, int]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of all tasks in each way, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (workers, jobs) in ways.items():
            found[name].append(
                seconds(lambda workers=workers, jobs=jobs: workers.run(tasks, jobs), len(tasks))  # type: ignore[misc]
            )
    return found


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
            found = measured(tasks, ways, options.repeats)
    print(conditions("ray", "torch"))
    print(f"{options.trainings} trainings of {options.epochs} epochs, median of {options.repeats} repeats")
    print(f"starting Ray and two trainings: {started:.1f} s")
    for way, times in found.items():
        print(f"{way}: {median(times):.1f} s, {median(times) / options.trainings:.2f} s a training")
    turns = list(zip(*found.values(), strict=True))
    factor = median(one / here for here, one, _ in turns)
    over = median((one - here) / options.trainings for here, one, _ in turns)
    print(f"overhead a training on one worker: {over:.2f} s, a factor of {factor:.2f}")
    print(f"efficiency of two workers: {median(one / (2 * two) for _, one, two in turns):.2f}")


if __name__ == "__main__":
    main()
