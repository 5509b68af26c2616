"""Protecting the photos of a run: each file is whole or not there at all, and the ledger is always right."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.image_data import image_data_sha256
from ulecli.perturb.perturber import Perturber
from ulecli.protection.backup import keep
from ulecli.protection.config import ProtectConfig
from ulecli.protection.decision import Due, judge
from ulecli.protection.destination import free_name
from ulecli.protection.directions import Directions
from ulecli.protection.entry import Entry
from ulecli.protection.folders import MirroredFolders
from ulecli.protection.identity import composed, name_of
from ulecli.protection.ledger import Direction
from ulecli.protection.ledgers import Ledgers
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.photo import Job, Made, Sample
from ulecli.protection.task import Task, parameters_of
from ulecli.protection.worker import ENTRY, protected_in, sample_in
from ulecli.system.atomic import part_of, sync
from ulecli.system.cores import usable_cores
from ulecli.system.fingerprint import Fingerprint, fingerprint_of
from ulecli.system.isolated import IsolatedWorker, Pool
from ulecli.system.limits import Limits
from ulecli.system.serving import reason_of

if TYPE_CHECKING:
    from ulecli.protection.ray_photos import RayPhotos


class Executor:
    """Does the tasks of a run with `config.jobs` worker processes, which more threads than that may share."""

    def __init__(
        self,
        config: ProtectConfig,
        perturber: Perturber,
        ledgers: Ledgers,
        folders: MirroredFolders,
        directions: Directions,
        tasks: Iterable[Task] = (),
        writable: Iterable[Path] = (),
        ray: RayPhotos | None = None,
    ) -> None:
        """Make one for a run.

        Args:
            config: What to do.
            perturber: What makes the perturbations.
            ledgers: Of the output.
            folders: Makes the folders of the output.
            directions: Of the identities.
            tasks: All of the run, from which the direction of an identity is found.
            writable: Folders that exist and below which the workers may write.
            ray: Has the photos protected; None for the workers of this machine.
        """
        self._config, self._perturber, self._ledgers = config, perturber, ledgers
        self._folders, self._directions = folders, directions
        self._tasks: defaultdict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            self._tasks[composed(task.identity)].append(task)
        limits = Limits(writable=tuple(writable))
        self._ray, self._writable = ray, limits.writable
        here = config.jobs if ray is None else min(config.jobs, usable_cores())  # for samples alone
        self._pool = Pool(ENTRY, here, limits=limits, timeout=config.timeout)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._pool.__exit__(kind, *error)
        if self._ray is not None and kind is not None:
            self._ray.give_up()

    def look(self, task: Task) -> PhotoOutcome:
        """Say what would become of a photo."""
        return self._guarded(task, lambda: self._judged(task))

    def protect(self, task: Task) -> PhotoOutcome:
        """Protect a photo if there is need; whatever goes wrong becomes its outcome. For many threads."""
        began = time.perf_counter()
        outcome = self._guarded(task, lambda: self._protected(task))
        if outcome.status in (Status.FAILED, Status.SKIPPED) and not self._pool.given_up:
            self._ledgers.add_problem(outcome, task.root)
        if outcome.status is Status.UNCHANGED:
            return outcome
        return replace(outcome, seconds=time.perf_counter() - began)

    def _judged(self, task: Task) -> PhotoOutcome | Due:
        photo = task.photo
        if not self._config.in_place and self._ledgers.wrote(photo.path):
            raise PhotoSkipped("was written by an earlier run, and nothing is protected twice")
        verdict = judge(task, self._ledgers.of(task.root), self._config)
        if isinstance(verdict, Due) and self._ledgers.wrote_image(photo):
            raise PhotoSkipped("has the pixels of what an earlier run wrote, and nothing is protected twice")
        return verdict

    def _shown(self, tasks: Sequence[Task]) -> Iterator[Sample]:
        """Yield what the perturbations of photos would be made from; what can't be shown is left out."""

        def show(task: Task) -> Sample | None:
            try:
                with self._pool.hired() as worker:
                    return sample_in(worker, self._job(task))
            except (PhotoError, PhotoSkipped, OSError, MemoryError):  # it is reported when its turn comes
                return None

        with ThreadPoolExecutor(self._config.jobs, thread_name_prefix="sample") as threads:
            yield from filter(None, threads.map(show, tasks))
        if self._pool.given_up:
            raise PhotoError("was given up")

    def _protected(self, task: Task) -> PhotoOutcome:
        direction = self._directions.of(task, self._tasks[composed(task.identity)], self._shown)
        if not task.direction:
            name = name_of(direction)
            parameters = parameters_of(self._config, self._perturber, name)
            task = replace(task, direction=name, parameters=parameters)
        job = self._job(task)
        before = _stat(task.photo.path)
        try:
            with nullcontext() if self._ray else self._pool.hired() as worker:
                verdict = self._judged(task)
                if isinstance(verdict, PhotoOutcome):
                    return verdict
                made, recognised = self._made(worker, task, job, direction)
            # The worker goes on while the disk and the ledger take in what it has made.
            sync(job.part)
            made = replace(made, remarks=(*made.remarks, *_backed_up(task, made)))
            outcome = replace(task.outcome(Status.WRITTEN), recognised=recognised, **asdict(made.measured))
            return self._put(task, job.part, made, verdict, outcome, before)
        finally:
            job.part.unlink(missing_ok=True)

    def _made(
        self, worker: IsolatedWorker | None, task: Task, job: Job, direction: Direction
    ) -> tuple[Made, bool]:
        """Have a photo's file made beside its target, by a worker of this machine or by Ray."""
        if worker is None:
            assert self._ray is not None
            self._make_folders(task)
            return self._ray.protect(self._writable, job, direction)
        folders = partial(self._make_folders, task)  # not for a photo that can't be decoded
        return protected_in(worker, job, self._perturber, direction, folders)

    def _make_folders(self, task: Task) -> None:
        for path in filter(None, (task.target, task.backup)):
            self._folders.make(path.parent)

    def _job(self, task: Task) -> Job:
        config = self._config
        return Job(
            photo=task.photo,
            part=part_of(task.target),
            epsilon=config.epsilon,
            grid=self._perturber.grid,
            reading=config.reading,
            read_back=task.read_back,
            strength=config.strength,
            owner=config.in_place,
        )

    def _put(
        self,
        task: Task,
        part: Path,
        made: Made,
        due: Due,
        outcome: PhotoOutcome,
        before: os.stat_result | None,
    ) -> PhotoOutcome:
        """Give a finished file its name; at no moment does the ledger call done what is not there.

        Args:
            task: What was done.
            part: The file.
            made: What came of it.
            due: What was to be done.
            outcome: What is to be reported, without remarks.
            before: Of the photo, from before it was read; None if it could not be had.
        """
        ledger = self._ledgers.of(task.root)
        assert ledger, "only a dry run goes without"
        target = task.target
        remarks = [task.remark, *made.remarks]
        if due.aside:
            aside = free_name(target)
            target.rename(aside)
            remarks.append(f"the earlier result had been changed, so it was kept as {aside.name}")
        outcome = replace(outcome, reason="; ".join(filter(None, remarks)))
        entry = Entry(
            source=Path(os.path.abspath(task.photo.path)),  # noqa: PTH100 - a link is another source
            target=target,
            source_fingerprint=_with_ctime(made.source, before),
            target_fingerprint=fingerprint_of(part, sha256=made.sha256),
            parameters=task.parameters,
            outcome=outcome.recorded(),
            image_sha256=image_data_sha256(part, task.photo.format) or b"",
        )
        ledger.intend(entry)
        try:
            part.replace(target)
        except OSError:
            ledger.give_up(target)
            raise
        written = fingerprint_of(target, with_ctime=True, sha256=made.sha256)
        ledger.finish(replace(entry, target_fingerprint=written))
        return outcome

    def _guarded(self, task: Task, act: Callable[[], PhotoOutcome | Due]) -> PhotoOutcome:
        """Turn whatever goes wrong with one photo into its outcome."""
        status = Status.FAILED
        try:
            outcome = act()
            return task.outcome(Status.PLANNED) if isinstance(outcome, Due) else outcome
        except PhotoSkipped as skipped:
            status, reason = Status.SKIPPED, str(skipped)
        except Exception as error:  # also a fault of ours: the other photos shall not suffer from it
            reason = reason_of(error)
        return replace(task.outcome(status), target=None, direction="", reason=reason)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # whoever reads it says so
        return None


def _with_ctime(source: Fingerprint, before: os.stat_result | None) -> Fingerprint:
    """Add to a photo's fingerprint when it was last changed, if nothing was changed before it was read."""
    return replace(source, ctime_ns=before.st_ctime_ns) if before and source.fresh(before) else source


def _backed_up(task: Task, made: Made) -> Iterator[str]:
    """Keep the photo that will be replaced, and say where if that is not where it should be.

    Raises:
        PhotoError: It is another one than that which was protected.
        OSError: It can't be kept.
    """
    if task.backup is None:
        return
    kept = keep(task.photo.path, task.backup, made.source.sha256)
    if kept != task.backup:
        yield f"its backup is {kept.name}, since that name was taken"
    if not made.source.fresh(task.photo.path.stat()):
        raise PhotoError("changed while it was read; the next run takes it")
