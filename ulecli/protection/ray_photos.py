"""Photos protected on the machines of a Ray cluster, which have the folders of the photos in common.

A task decodes a photo, perturbs it and writes the finished file beside its target, in a process and a worker
of its own as on one machine. Whoever runs `protect` gives the file its name and writes the ledger, alone: a
photo that is lost with its machine is made anew, and counts once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from ulecli.perturb.perturber import Perturber
from ulecli.protection.config import ProtectConfig
from ulecli.protection.ledger import Direction
from ulecli.protection.photo import Job, Made
from ulecli.protection.worker import ENTRY, protected_in
from ulecli.surrogates.opening import open_perturber
from ulecli.system.atomic import sync
from ulecli.system.cores import usable_cores
from ulecli.system.devices import Device
from ulecli.system.isolated import Pool
from ulecli.system.limits import Limits
from ulecli.system.ray_cluster import RETRIES, ray_cluster, result_of

PACKAGES = ("numpy", "onnxruntime", "pillow")
"""What has a say in a protected file."""


@dataclass(frozen=True)
class Tools:
    """What a machine works with, beside what is asked of each photo.

    Attributes:
        surrogate: Whose gradients shape the perturbations.
        writable: Folders below which workers may write.
        timeout: Seconds that one photo may take; 0 means any.
    """

    surrogate: str
    writable: tuple[Path, ...]
    timeout: float


class RayPhotos:
    """Has photos protected by Ray. Threads may share it.

    Attributes:
        cores: How many photos the cluster takes at a time.
    """

    def __init__(self, config: ProtectConfig, cores: int) -> None:
        """Make one for a run on a cluster of so many cores."""
        self._config, self.cores = config, cores
        self._work = ray.remote(_protected).options(num_cpus=1, max_retries=RETRIES)
        self._running = set[Any]()
        self._lock = threading.Lock()

    def give_up(self) -> None:
        """End what is in work; whoever waits for it gets an error."""
        with self._lock, suppress(RayError):
            for one in self._running:
                ray.cancel(one, force=True)

    def protect(self, writable: tuple[Path, ...], job: Job, direction: Direction) -> tuple[Made, bool]:
        """Have a photo protected; see `ulecli.protection.worker.protected_in`.

        Args:
            writable: Folders below which workers may write.
            job: What to do.
            direction: (D,) where the photo is moved to.

        Raises:
            PhotoError: It can't be.
            PhotoSkipped: It is left alone on purpose.
            UleError: It was lost again and again.
        """
        # Another machine has another working folder.
        photo = replace(job.photo, path=job.photo.path.absolute())
        job = replace(job, photo=photo, part=job.part.absolute())
        tools = Tools(self._config.surrogate, writable, self._config.timeout)
        done = self._work.remote(tools, job, direction)
        with self._lock:
            self._running.add(done)
        try:
            found: tuple[Made, bool] = result_of(done, "it")
            return found
        finally:
            with self._lock:
                self._running.discard(done)


@contextmanager
def on_ray(config: ProtectConfig) -> Iterator[RayPhotos]:
    """Lend Ray: that at `config.ray_address`, else one that is started here and ends with the block.

    Raises:
        UleError: There is no such cluster, or another version of something is on it.
    """
    cpus = config.jobs or usable_cores()
    with ray_cluster(config.ray_address, cpus=cpus, packages=PACKAGES) as nodes:
        yield RayPhotos(config, sum(node.cpus for node in nodes))


def _protected(tools: Tools, job: Job, direction: Direction) -> tuple[Made, bool]:
    """Protect a photo on a machine of the cluster."""
    perturber, pool = _opened(tools)
    job.part.unlink(missing_ok=True)  # of a machine that was lost
    with pool.hired() as worker:
        made, recognised = protected_in(worker, job, perturber, direction)
    sync(job.part)
    return made, recognised


@cache
def _opened(tools: Tools) -> tuple[Perturber, Pool]:
    """Return what a process works with for all of its photos."""
    perturber = open_perturber(tools.surrogate, device=Device.CPU, threads=1)
    return perturber, Pool(ENTRY, 1, limits=Limits(writable=tools.writable), timeout=tools.timeout)
