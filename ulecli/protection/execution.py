"""Putting protected photos into their places: each whole or not at all, and the ledger always right."""

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
from ulecli.perturb.perturber import Perturber
from ulecli.protection.backup import keep
from ulecli.protection.config import ProtectConfig
from ulecli.protection.decision import Todo, judge
from ulecli.protection.destination import Target, free_name
from ulecli.protection.entry import Entry, told
from ulecli.protection.ledgers import Books
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.photo import Job, Made
from ulecli.protection.worker import ENTRY, make_in
from ulecli.system.atomic import part_of, sync
from ulecli.system.fingerprint import stamp
from ulecli.system.isolated import Pool, reason_of
from ulecli.system.limits import Limits


@dataclass(frozen=True)
class Task:
    """One photo of a run.

    Attributes:
        target: Where it goes.
        identity: Whose it is.
        code: What the perturbation carries; -1 if it is not known yet.
        read_back: Measure the written file.
        parameters: What decides the pixels, as JSON.
    """

    target: Target
    identity: str
    code: int
    read_back: bool
    parameters: str


class Placer:
    """Does the tasks of a run with `config.jobs` worker processes, which more threads than that may share."""

    def __init__(
        self, config: ProtectConfig, perturber: Perturber, books: Books, folders: Iterable[Path] = ()
    ) -> None:
        """Make one for a run.

        Args:
            config: What to do.
            perturber: What makes the perturbations.
            books: The ledgers.
            folders: Those that exist and below which the workers may write.
        """
        self._config, self._perturber, self._books = config, perturber, books
        limits = Limits(writable=tuple(folders))
        self._pool = Pool(ENTRY, config.jobs, limits=limits, timeout=config.timeout)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._pool.__exit__(kind, *error)

    def look(self, task: Task) -> PhotoOutcome:
        """Say what would become of a photo."""
        return self._guarded(task, lambda: self._judged(task))

    def place(self, task: Task) -> PhotoOutcome:
        """Protect a photo if there is need; whatever goes wrong becomes its outcome. For many threads."""
        began = time.perf_counter()
        outcome = self._guarded(task, lambda: self._placed(task))
        if outcome.status in (Status.FAILED, Status.SKIPPED) and not self._pool.given_up:
            self._books.trouble(outcome, task.target.root)
        if outcome.status is Status.UNCHANGED:
            return outcome
        return replace(outcome, seconds=time.perf_counter() - began)

    def _judged(self, task: Task) -> PhotoOutcome | Todo:
        if not self._config.in_place and self._books.wrote(task.target.photo.path):
            raise PhotoSkipped("was written by an earlier run, and nothing is protected twice")
        return judge(task.target, task.parameters, self._books.of(task.target.root), self._config)

    def _placed(self, task: Task) -> PhotoOutcome:
        job, target = self._job(task), task.target

        def perturb(image: NDArray[np.float32], aspect: float) -> NDArray[np.int8]:
            target.path.parent.mkdir(parents=True, exist_ok=True)  # not for a photo that can't be decoded
            return self._delta(image, aspect, task.code)

        try:
            with self._pool.hired() as worker:
                verdict = self._judged(task)
                if isinstance(verdict, PhotoOutcome):
                    return verdict
                made = make_in(worker, job, perturb)
            # The worker goes on while the disk and the ledger take in what it has made.
            sync(job.part)
            made = replace(made, remarks=(*made.remarks, *_backed_up(target, made)))
            return self._put(task, job.part, made, verdict)
        finally:
            job.part.unlink(missing_ok=True)

    def _job(self, task: Task) -> Job:
        target, config = task.target, self._config
        return Job(
            photo=target.photo,
            part=part_of(target.path),
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

    def _put(self, task: Task, part: Path, made: Made, todo: Todo) -> PhotoOutcome:
        """Give a finished file its name; at no moment does the ledger call done what is not there."""
        ledger = self._books.of(task.target.root)
        assert ledger, "only a dry run goes without"
        target = task.target.path
        remarks = [task.target.remark, *made.remarks]
        if todo.aside:
            aside = free_name(target)
            target.rename(aside)
            remarks.append(f"the earlier result had been changed, so it was kept as {aside.name}")
        outcome = replace(
            _blank(task, Status.WRITTEN), reason="; ".join(filter(None, remarks)), **asdict(made.measured)
        )
        entry = Entry(
            source=Path(os.path.abspath(task.target.photo.path)),  # noqa: PTH100 - a link is another source
            target=target,
            source_stamp=made.source,
            target_stamp=stamp(part, sha256=made.sha256),
            parameters=task.parameters,
            outcome=told(outcome),
        )
        ledger.intend(entry)
        try:
            part.replace(target)
        except OSError:
            ledger.give_up(target)
            raise
        ledger.finish(replace(entry, target_stamp=stamp(target, with_ctime=True, sha256=made.sha256)))
        return outcome

    def _guarded(self, task: Task, act: Callable[[], PhotoOutcome | Todo]) -> PhotoOutcome:
        """Turn whatever goes wrong with one photo into its outcome."""
        status = Status.FAILED
        try:
            outcome = act()
            return _blank(task, Status.PLANNED) if isinstance(outcome, Todo) else outcome
        except PhotoSkipped as skipped:
            status, reason = Status.SKIPPED, str(skipped)
        except Exception as error:  # also a fault of ours: the other photos shall not suffer from it
            reason = reason_of(error)
        return replace(_blank(task, status), target=None, code=-1, reason=reason)


def _backed_up(target: Target, made: Made) -> Iterator[str]:
    """Keep the photo that will be replaced, and say where if that is not where it should be.

    Raises:
        PhotoError: It is another one than that which was protected.
        OSError: It can't be kept.
    """
    if target.backup is None:
        return
    kept = keep(target.photo.path, target.backup, made.source.sha256)
    if kept != target.backup:
        yield f"its backup is {kept.name}, since that name was taken"
    if not made.source.fresh(target.photo.path.stat()):
        raise PhotoError("changed while it was read; the next run takes it")


def _blank(task: Task, status: Status) -> PhotoOutcome:
    photo = task.target.photo
    return PhotoOutcome(
        source=photo.path,
        target=task.target.path,
        status=status,
        reason=task.target.remark,
        format=photo.format,
        identity=task.identity,
        code=task.code,
    )
