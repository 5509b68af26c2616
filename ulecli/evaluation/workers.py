"""Who does the trainings of an evaluation: processes of this machine, or Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.scheduling import fitting_jobs, run
from ulecli.evaluation.task import Done, OnEpoch, OnStep, Task
from ulecli.system.cores import usable_cores
from ulecli.system.worker_kinds import WorkerKind, need_ray


class Workers(Protocol):
    """Whoever does trainings, several at a time.

    Attributes:
        threads: CPU threads of all trainings at a time together.
    """

    @property
    def threads(self) -> int:
        """See the class."""

    def jobs(self, trainings: int, image_bytes: int) -> int:
        """Return how many of so many trainings run at the same time, at least 1.

        Args:
            trainings: How many there are.
            image_bytes: Size of a training set.

        Raises:
            UleError: There is too little memory for the number that was asked for.
        """

    def run(
        self,
        tasks: Sequence[Task],
        jobs: int,
        *,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Done]:
        """Train and yield what is done; see `ulecli.evaluation.scheduling.run`."""


@dataclass(frozen=True)
class LocalWorkers:
    """This process, or several of this machine; see `Workers`."""

    config: EvaluateConfig

    @property
    def threads(self) -> int:
        """CPU threads of all trainings at a time together."""
        return self.config.threads or usable_cores()

    def jobs(self, trainings: int, image_bytes: int) -> int:
        """Return how many trainings run at the same time; see `Workers`."""
        config = self.config
        if config.device != "cpu":
            return 1
        wanted = config.jobs if all(one.source for one in config.loaded) else 1  # objects can't travel
        return fitting_jobs(wanted, trainings, self.threads, image_bytes)

    def run(
        self,
        tasks: Sequence[Task],
        jobs: int,
        *,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Done]:
        """Train and yield what is done; see `Workers`."""
        return run(tasks, jobs=jobs, threads=self.threads, on_epoch=on_epoch, on_step=on_step)


@contextmanager
def workers_of(config: EvaluateConfig) -> Iterator[Workers]:
    """Lend the workers of an evaluation.

    Raises:
        MissingExtra: Ray was asked for, and is not installed.
        UleError: There is no such Ray cluster, or another version of something is on it.
    """
    if config.workers != WorkerKind.RAY:
        yield LocalWorkers(config)
        return
    need_ray()
    from ulecli.evaluation.ray_workers import on_ray

    with on_ray(config) as workers:
        yield workers
