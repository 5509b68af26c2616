"""Protecting the photos of a run: each file is whole or not there at all, and the ledger is always right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.image_data import image_data_sha256
from ulecli.imaging import texture
from ulecli.perturb.perturber import Perturber
from ulecli.protection.backup import keep
from ulecli.protection.config import ProtectConfig
from ulecli.protection.decision import Due, judge
from ulecli.protection.destination import free_name
from ulecli.protection.entry import Entry
from ulecli.protection.folders import MirroredFolders
from ulecli.protection.ledgers import Ledgers
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.photo import Job, Made
from ulecli.protection.task import Task
from ulecli.protection.worker import ENTRY, make_in
from ulecli.system.atomic import part_of, sync
from ulecli.system.fingerprint import Fingerprint, fingerprint_of
from ulecli.system.isolated import Pool, reason_of
from ulecli.system.limits import Limits


@dataclass(frozen=True)
class _Perturbed:
    """A working image (3, S, S), unit scale, and its delta (C, S, S), levels."""

    image: NDArray[np.float32]
    delta: NDArray[np.int8]


class Executor:
    """Does the tasks of a run with `config.jobs` worker processes, which more threads than that may share."""

    def __init__(
        self,
        config: ProtectConfig,
        perturber: Perturber,
        ledgers: Ledgers,
        folders: MirroredFolders,
        writable: Iterable[Path] = (),
    ) -> None:
        """Make one for a run.

        Args:
            config: What to do.
            perturber: What makes the perturbations.
            ledgers: Of the output.
            folders: Makes the folders of the output.
            writable: Folders that exist and below which the workers may write.
        """
        self._config, self._perturber, self._ledgers = config, perturber, ledgers
        self._folders = folders
        limits = Limits(writable=tuple(writable))
        self._pool = Pool(ENTRY, config.jobs, limits=limits, timeout=config.timeout)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._pool.__exit__(kind, *error)

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

    def _protected(self, task: Task) -> PhotoOutcome:
        job = self._job(task)
        before = _stat(task.photo.path)
        perturbed: list[_Perturbed] = []

        def perturb(image: NDArray[np.float32], aspect: float) -> NDArray[np.int8]:
            self._make_folders(task)  # not for a photo that can't be decoded
            delta = self._delta(image, aspect, task.code)
            perturbed.append(_Perturbed(image, delta))
            return delta

        try:
            with self._pool.hired() as worker:
                verdict = self._judged(task)
                if isinstance(verdict, PhotoOutcome):
                    return verdict
                made = make_in(worker, job, perturb)
            # The worker goes on while the disk and the ledger take in what it has made.
            sync(job.part)
            made = replace(made, remarks=(*made.remarks, *_backed_up(task, made)))
            recognised = self._recognised(perturbed[-1], made.masked_delta, task.code)
            outcome = replace(task.outcome(Status.WRITTEN), recognised=recognised, **asdict(made.measured))
            return self._put(task, job.part, made, verdict, outcome, before)
        finally:
            job.part.unlink(missing_ok=True)

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
            masked=config.mask,
            owner=config.in_place,
        )

    def _delta(self, image: NDArray[np.float32], aspect: float, code: int) -> NDArray[np.int8]:
        codes, aspects = np.array([code], np.int64), np.array([aspect], np.float32)
        delta: NDArray[np.int8] = self._perturber(image[None], codes, aspects, epsilon=self._config.epsilon)[
            0
        ]
        return delta

    def _recognised(self, perturbed: _Perturbed, masked: bytes, code: int) -> bool:
        """Return whether the surrogate recognises the code in what was made of a photo."""
        delta = perturbed.delta
        if masked:  # by the worker, which has the whole picture
            delta = np.frombuffer(masked, np.int8).reshape(len(delta), texture.CELLS, texture.CELLS)
        codes = np.array([code], np.int64)
        return bool(self._perturber.recognised(perturbed.image[None], codes, delta[None])[0])

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
        return replace(task.outcome(status), target=None, code=-1, reason=reason)


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
