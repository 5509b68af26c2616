"""Trainings as tasks of Ray, on this machine or on all machines of a cluster.

Images travel through Ray's object store, each set once, so that the machines need no folder in common. What
comes of a training is written down by the process that collects it: one that is lost with its machine is done
anew, and counts once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ulecli.data.images import ImageSet
from ulecli.errors import DeviceUnavailable
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.results.journal import RUN
from ulecli.evaluation.scheduling import memory_need
from ulecli.evaluation.set_files import TrainingSet
from ulecli.evaluation.task import PACKAGES, Done, Images, OnEpoch, OnStep, Task, trained
from ulecli.system.cores import usable_cores
from ulecli.system.ray_cluster import RETRIES, Node, ray_cluster, result_of

_LISTEN_EVERY = 0.5
"""Seconds between two looks for reports."""


@dataclass(frozen=True)
class RayWorkers:
    """Ray; see `ulecli.evaluation.workers.Workers`."""

    config: EvaluateConfig
    nodes: tuple[Node, ...]

    @property
    def threads(self) -> int:
        """CPU threads of all trainings at a time together."""
        return self.config.threads or sum(node.cpus for node in self.nodes)

    @property
    def _on_gpu(self) -> bool:
        return self.config.device != "cpu"

    def jobs(self, trainings: int, image_bytes: int) -> int:
        """Return how many trainings run at the same time; Ray itself looks after the memory."""
        places = sum(node.gpus for node in self.nodes) if self._on_gpu else self.threads
        return max(1, min(self.config.jobs or places, trainings, places))

    def run(
        self,
        tasks: Sequence[Task],
        jobs: int,
        *,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Done]:
        """Train and yield what is done, in the order in which it ends.

        Raises:
            UleError: A training was lost again and again.
        """
        listeners = {"epoch": on_epoch, "step": on_step}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        news = ray.remote(_News).options(num_cpus=0, scheduling_strategy=here).remote()
        sets, threads = _Sets(), self._threads_of_each(jobs)
        waiting, running = deque(enumerate(tasks)), dict[Any, int]()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    number, task = waiting.popleft()
                    train = ray.remote(_train).options(**self._needs(task, threads))
                    running[train.remote(number, task, threads, news, *sets.of(task))] = number
                ended, _ = ray.wait(list(running), timeout=_LISTEN_EVERY)
                for what, report in ray.get(news.take.remote()):
                    if (listener := listeners[what]) is not None:
                        listener(*report)
                for one in ended:
                    del running[one]
                    yield result_of(one, "a training")
        finally:
            with suppress(RayError):
                for one in running:
                    ray.cancel(one, force=True)

    def _threads_of_each(self, jobs: int) -> int:
        """Return how many CPU threads a training has: no more than the largest machine has cores."""
        fitting = [node.cpus for node in self.nodes if node.gpus or not self._on_gpu]
        return max(1, min(self.threads // jobs, max(fitting)))

    def _needs(self, task: Task, threads: int) -> dict[str, Any]:
        """Return what a training takes of a machine, so that none gets more of them than it can bear."""
        need = memory_need(task.train.bytes)
        return {
            "num_cpus": threads,
            "num_gpus": 1 if self._on_gpu else 0,
            "memory": min(need, *(node.memory for node in self.nodes)),
            "max_retries": RETRIES,
        }


class _Sets:
    """Training sets in Ray's object store, each put there once."""

    def __init__(self) -> None:
        self._held: dict[object, Any] = {}

    def of(self, task: Task) -> list[Any]:
        """Return where a task finds what `Images` is made of."""
        return [self._put(one) for one in (task.train, task.test, task.validation)]

    def _put(self, one: TrainingSet | None) -> Any:
        if one is None:
            return None
        if (key := (one.file, one.places)) not in self._held:
            images = one.read()
            self._held[key] = ray.put((images.images.numpy(), images.labels.numpy(), images.classes))
        return self._held[key]


class _News:
    """An actor that keeps what trainings report until somebody takes it."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, what: str, report: tuple[Any, ...]) -> None:
        self._kept.append((what, report))

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        kept, self._kept = self._kept, []
        return kept


def _train(number: int, task: Task, threads: int, news: Any, *held: Any) -> Done:
    """Do a task, on a machine of the cluster; `held` are the contents of `_Sets`."""
    torch.set_num_threads(threads)
    # What lies in the object store can't be written to, and torch knows no such tensor: hence the copies.
    sets = [
        None if one is None else ImageSet(torch.tensor(one[0]), torch.tensor(one[1]), one[2]) for one in held
    ]
    if task.checkpoint is not None and not (task.checkpoint.path.parents[1] / RUN).exists():
        task = replace(task, checkpoint=None)  # the output folder is on a disk of another machine
    if task.device.startswith("cuda"):
        task = replace(task, device="cuda")  # Ray shows each task its own GPU alone
    train, test, validation = sets
    assert train is not None and test is not None
    return trained(
        number,
        task,
        Images(train, test, validation),
        lambda *report: news.add.remote("epoch", report),
        lambda *report: news.add.remote("step", report),
    )


@contextmanager
def on_ray(config: EvaluateConfig) -> Iterator[RayWorkers]:
    """Lend Ray: that at `config.ray_address`, else one that is started here and ends with the block.

    Raises:
        UleError: There is no such cluster, or another version of something is on it.
        DeviceUnavailable: It has no GPU, and one is asked for.
    """
    gpus = 0 if config.device == "cpu" else torch.cuda.device_count()
    cpus = config.threads or usable_cores()
    with ray_cluster(config.ray_address, cpus=cpus, gpus=gpus, packages=PACKAGES) as nodes:
        if config.device != "cpu" and not any(node.gpus for node in nodes):
            raise DeviceUnavailable("no machine of this Ray cluster lends a GPU; take --device cpu")
        yield RayWorkers(config, nodes)
