"""`protect`: photos in, protected photos out, one outcome for each; prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ulecli.errors import NothingToDo, TargetError, shown
from ulecli.perturb.batching import batched
from ulecli.perturb.perturber import Perturber
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import plan, root_of
from ulecli.protection.directions import Directions
from ulecli.protection.execution import Executor
from ulecli.protection.find import Found, find
from ulecli.protection.folders import MirroredFolders
from ulecli.protection.identity import name_of
from ulecli.protection.key import Key, default_key_path, load_key, load_or_create_key
from ulecli.protection.ledgers import Ledgers
from ulecli.protection.orphans import orphaned_copies
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Start, Status
from ulecli.protection.output_check import check
from ulecli.protection.task import Task, parameters_of
from ulecli.system.atomic import remove_parts, sync_folder
from ulecli.system.worker_kinds import WorkerKind, need_ray

if TYPE_CHECKING:
    from ulecli.protection.ray_photos import RayPhotos

OnOutcome = Callable[[PhotoOutcome, int], None]
"""Called in the thread of the caller for each photo as it is done, with the number of photos of the run."""

OnStart = Callable[[Start], None]
"""Called once before the first photo."""

READ_BACK_EVERY = 32
"""One photo in so many, the first included, is read back and measured, at half the cost of the rest."""

_Done = TypeVar("_Done")


def protect(
    config: ProtectConfig,
    perturber: Perturber,
    *,
    on_start: OnStart | None = None,
    on_outcome: OnOutcome | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    only: Collection[Path] | None = None,
) -> ProtectReport:
    """Protect every photo under the sources, but for those that an earlier run has done.

    One photo that fails never stops the run. A worker takes a photo all the way from file to file, so no more
    than `config.jobs` photos are in memory; decoding, perturbing and encoding of different photos overlap.

    Args:
        config: What to do.
        perturber: What makes the perturbations; used from `config.jobs` threads at a time.
        on_start: Called with what the run will do, as soon as that is known.
        on_outcome: Called with each photo as soon as it is done.
        should_stop: Asked before each photo; once it says yes no further one is begun, and the report says
            how many are left.
        only: Look at these files below the sources, and at no others.

    Raises:
        NoSuchPath: A source does not exist.
        NothingToDo: There is no photo under the sources.
        TargetError: The output can't be written, or would mix with the sources.
        LedgerError: The ledger is damaged, of a newer version, or in use by another run.
        UleError: There is no such Ray cluster, or another version of something is on it.
        KeyFileError: The user's key can't be read or made.
        KeyboardInterrupt: The photos in work are given up; none is left half written.
    """
    began = time.perf_counter()
    found = find(config.sources, config.listed, config.selection, only)
    _check_something(found)
    check(found.photos, config)
    with _on_ray(config) as ray, Ledgers(config.ledger, dry=config.dry_run) as ledgers:
        if ray is not None:
            config = replace(config, jobs=config.jobs or ray.cores)
        key, notes = _key(config)
        folders = MirroredFolders(found.photos, config)
        roots = sorted({root_of(photo, config) for photo in found.photos})
        if not config.dry_run:
            _make(roots, folders)
        placed = plan(found.photos, config, ledgers.of)
        used = [ledgers.of(root) for root in roots]  # all of them before the directions are asked for
        directions = Directions(perturber, ledgers, key.secret if key else None)
        tasks = list(_complete(config, placed, directions, perturber))
        outcomes = []
        if on_start:
            on_start(Start(len(tasks), tuple(roots), again=not ledgers.empty()))
        # Closed at once when the caller's callback or the user breaks off, so that the workers stop.
        with (
            batched(perturber) as shared,
            closing(
                _outcomes(config, shared, found, tasks, ledgers, folders, directions, should_stop, ray)
            ) as stream,
        ):
            for outcome in stream:
                outcomes.append(outcome)
                if on_outcome:
                    on_outcome(outcome, len(tasks) + len(found.others))
        whole = only is None and len(outcomes) == len(tasks) + len(found.others)
        orphans = orphaned_copies(config, found, filter(None, dict.fromkeys(used))) if whole else []
    return ProtectReport(
        config=config,
        device=perturber.device,
        surrogate=perturber.label,
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.source)),
        identities=tuple(sorted({task.identity for task in tasks})),
        notes=(*notes, *(_left_out(found) if only is None else ())),
        seconds=time.perf_counter() - began,
        left=len(tasks) + len(found.others) - len(outcomes),
        orphans=tuple(orphans),
    )


def _on_ray(config: ProtectConfig) -> AbstractContextManager[RayPhotos | None]:
    """Lend Ray, if it is to protect the photos.

    Raises:
        MissingExtra: It is not installed.
        UleError: There is no such cluster, or another version of something is on it.
    """
    if config.workers != WorkerKind.RAY or config.dry_run:
        return nullcontext()
    need_ray()
    from ulecli.protection.ray_photos import on_ray

    return on_ray(config)


def _make(roots: list[Path], folders: MirroredFolders) -> None:
    """Make the roots of the output before anything else does, which does not know how private they are.

    Raises:
        TargetError: One can't be made.
    """
    for root in roots:
        try:
            folders.make(root)
        except OSError as error:
            raise TargetError(
                f"can't make {shown(root)}: {error.strerror}; choose another output with -o"
            ) from error


def _left_out(found: Found) -> Iterator[str]:
    """Say what the user may miss, or has mistyped."""
    if found.junk:
        names = dict.fromkeys(path.name for path in found.junk)
        more = f" and {len(names) - 4} more names" if len(names) > 4 else ""
        yield (
            f"left out as trash, thumbnails or backups of other programs, {len(found.junk)} in all: "
            f"{', '.join(list(names)[:4])}{more}; name one as a PATH or in --include to protect it"
        )
    for pattern in found.unused:
        yield (
            f"{pattern} fits nothing; a pattern is compared with names or, with a slash in it, with the path "
            "below PATH"
        )


def _check_something(found: Found) -> None:
    if found.photos or any(outcome.status is Status.FAILED for outcome in found.others):
        return
    if found.others:
        count, first = len(found.others), found.others[0]
        raise NothingToDo(f"nothing to protect: {count} skipped; {first.source.name!r} {first.reason}")
    beside = f" (left out: {', '.join(dict.fromkeys(it.name for it in found.junk))})" if found.junk else ""
    raise NothingToDo(f"there is no JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC photo in what was named{beside}")


def _key(config: ProtectConfig) -> tuple[Key | None, list[str]]:
    path = config.key_file or default_key_path()
    key = load_key(path) if config.dry_run else load_or_create_key(path)
    notes = []
    if key is None:
        notes.append(f"there is no key yet; a run that writes would make one at {path}")
    elif key.replaced_empty:
        notes.append(
            f"your key file {path} was empty (a full disk or a crash does that); it holds a new key now. If "
            "you have a copy of an older key, put it there before you go on; else keep a copy of this one"
        )
    elif key.created:
        notes.append(
            f"made your key {path}; keep a copy, later photos need it to be moved as the earlier ones were"
        )
    elif key.exposed:
        notes.append(f"other users can read your key; make it yours alone with: chmod 600 {path}")
    return key, notes


def _identity(config: ProtectConfig, task: Task) -> str:
    if not config.identity_from_folder:
        return config.identity
    return task.photo.path.absolute().parent.name or config.identity


def _complete(
    config: ProtectConfig, tasks: list[Task], directions: Directions, perturber: Perturber
) -> Iterator[Task]:
    """Say whose each photo is and what decides its pixels, as far as that is known from earlier runs."""

    @cache
    def name(identity: str, root: Path) -> str:
        direction = directions.known(identity, root)
        return "" if direction is None else name_of(direction)

    @cache
    def parameters(direction: str) -> str:
        return parameters_of(config, perturber, direction)

    for number, task in enumerate(tasks):
        identity = _identity(config, task)
        direction = name(identity, task.root)
        read_back = config.verify or number % READ_BACK_EVERY == 0
        yield replace(
            task,
            identity=identity,
            direction=direction,
            read_back=read_back,
            parameters=parameters(direction),
        )


def _outcomes(
    config: ProtectConfig,
    perturber: Perturber,
    found: Found,
    tasks: list[Task],
    ledgers: Ledgers,
    folders: MirroredFolders,
    directions: Directions,
    should_stop: Callable[[], bool],
    ray: RayPhotos | None,
) -> Generator[PhotoOutcome, None, None]:
    for outcome in found.others:
        ledgers.add_problem(outcome)
        yield outcome
    if config.dry_run:
        executor = Executor(config, perturber, ledgers, folders, directions)
        yield from (executor.look(task) for task in tasks)
        return
    written = {task.target.parent for task in tasks}
    for folder in written | {task.backup.parent for task in tasks if task.backup}:
        remove_parts(folder)
    # One thread more than there are workers: it waits for the disk while all of them are busy.
    threads = ThreadPoolExecutor(config.jobs + 1, thread_name_prefix="photo")
    try:
        writable = _writable(tasks)
        with Executor(config, perturber, ledgers, folders, directions, tasks, writable, ray) as executor:
            yield from _in_threads(threads, executor.protect, tasks, 2 * config.jobs, should_stop)
    finally:
        threads.shutdown()
    for folder in written:
        sync_folder(folder)


def _writable(tasks: Sequence[Task]) -> list[Path]:
    """Return folders below which every photo goes: the roots of the output, which are there, and more."""
    roots = {os.path.realpath(task.root) for task in tasks}
    above = tuple(root.rstrip(os.sep) + os.sep for root in roots)
    folders = {os.path.realpath(folder) for folder in {task.target.parent for task in tasks}}
    elsewhere = {folder for folder in folders if not (folder + os.sep).startswith(above)}  # behind a link
    return [Path(folder) for folder in sorted(roots | elsewhere)]


def _in_threads(
    threads: ThreadPoolExecutor,
    work: Callable[[Task], _Done],
    tasks: list[Task],
    ahead: int,
    should_stop: Callable[[], bool],
) -> Generator[_Done, None, None]:
    """Yield what comes of each task as it is done; only a few wait in line, so that they cost no memory."""
    try:
        busy: set[Future[_Done]] = set()
        for task in tasks:
            if should_stop():
                break
            busy.add(threads.submit(work, task))
            if len(busy) >= ahead:
                done, busy = wait(busy, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while busy:
            done, busy = wait(busy, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
