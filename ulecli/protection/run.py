"""`protect`: photos in, protected photos out, one outcome for each; prints nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TypeVar

from ulecli.errors import NothingToDo
from ulecli.perturb.batching import batched
from ulecli.perturb.perturber import Perturber
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import Target, check, plan
from ulecli.protection.execution import Placer, Task
from ulecli.protection.find import Found, find
from ulecli.protection.identity import assign_codes, scheme_of
from ulecli.protection.key import Key, default_key_path, load_key, load_or_create_key
from ulecli.protection.ledgers import Books
from ulecli.protection.outcome import IdentityCode, PhotoOutcome, ProtectReport, Status
from ulecli.system.atomic import remove_parts, sync_folder

OnOutcome = Callable[[PhotoOutcome, int], None]
"""Called in the thread of the caller for each photo as it is done, with the number of photos of the run."""

READ_BACK_EVERY = 32
"""One photo in so many, the first included, is read back and measured, at half the cost of the rest."""

_Done = TypeVar("_Done")


def protect(
    config: ProtectConfig,
    perturber: Perturber,
    *,
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
        on_outcome: Told of each photo as soon as it is done.
        should_stop: Asked before each photo; once it says yes no further one is begun, and the report says
            how many are left.
        only: Look at these files below the sources, and at no others.

    Raises:
        NoSuchPath: A source does not exist.
        NothingToDo: There is no photo under the sources.
        TargetError: The output can't be written, or would mix with the sources.
        LedgerError: The ledger is damaged, of a newer version, or in use by another run.
        KeyFileError: The user's key can't be read or made.
        KeyboardInterrupt: The photos in work are given up; none is left half written.
    """
    began = time.perf_counter()
    found = find(config.sources, config.listed, config.selection, only)
    _check_something(found)
    check(found.photos, config)
    with Books(config.ledger, dry=config.dry_run) as books:
        key, notes = _key(config)
        targets = plan(found.photos, config, books.of)
        for root in {target.root for target in targets}:
            books.of(root)  # all of them before the codes are asked for
        identities = _assign(config, targets, key, perturber, books)
        tasks = list(_tasks(config, targets, identities, perturber))
        outcomes = []
        # Closed at once when the caller's callback or the user breaks off, so that the workers stop.
        with (
            batched(perturber) as shared,
            closing(_outcomes(config, shared, found, tasks, books, should_stop)) as stream,
        ):
            for outcome in stream:
                outcomes.append(outcome)
                if on_outcome:
                    on_outcome(outcome, len(tasks) + len(found.others))
    return ProtectReport(
        config=config,
        device=perturber.device,
        surrogate=perturber.label,
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.source)),
        identities=tuple(identities.values()),
        notes=(*notes, *_moves(identities)),
        seconds=time.perf_counter() - began,
        left=len(tasks) + len(found.others) - len(outcomes),
    )


def _check_something(found: Found) -> None:
    if found.photos or any(outcome.status is Status.FAILED for outcome in found.others):
        return
    if found.others:
        count, first = len(found.others), found.others[0]
        raise NothingToDo(f"nothing to protect: {count} skipped; {first.source.name!r} {first.reason}")
    raise NothingToDo("there is no JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC photo in what was named")


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
        notes.append(f"made your key {path}; keep a copy, later photos need it to carry the same code")
    elif key.exposed:
        notes.append(f"other users can read your key; make it yours alone with: chmod 600 {path}")
    return key, notes


def _identity(config: ProtectConfig, target: Target) -> str:
    if not config.identity_from_folder:
        return config.identity
    return target.photo.path.absolute().parent.name or config.identity


def _assign(
    config: ProtectConfig, targets: list[Target], key: Key | None, perturber: Perturber, books: Books
) -> dict[str, IdentityCode]:
    """Give every identity its code: the one it has in this output, where an earlier run gave it one."""
    if key is None:
        return {}
    names = {_identity(config, target) for target in targets}
    scheme = scheme_of(key.secret, perturber.codes, perturber.families)
    kept = books.codes(scheme)
    assigned = assign_codes(names, key.secret, perturber.codes, perturber.families, kept)
    books.keep_codes(scheme, {one.name: one.code for one in assigned.values()})
    return assigned


def _tasks(
    config: ProtectConfig, targets: list[Target], identities: dict[str, IdentityCode], perturber: Perturber
) -> Iterator[Task]:
    @cache
    def parameters(code: int) -> str:
        decisive = {
            "epsilon": config.epsilon,
            "mask": config.mask,
            "code": code,
            "surrogate": perturber.label,
            "surrogate_sha256": perturber.sha256,
            "first_frame": config.reading.first_frame,
            "metadata": str(config.reading.metadata),
        }
        return json.dumps(decisive, sort_keys=True)

    for number, target in enumerate(targets):
        identity = _identity(config, target)
        code = identities[identity].code if identity in identities else -1
        read_back = config.verify or number % READ_BACK_EVERY == 0
        yield Task(target, identity, code, read_back, parameters(code))


def _moves(identities: dict[str, IdentityCode]) -> Iterator[str]:
    for one in identities.values():
        if one.moved:
            yield f"{one.name} carries code {one.code}, since another identity of this output has its own"


def _outcomes(
    config: ProtectConfig,
    perturber: Perturber,
    found: Found,
    tasks: list[Task],
    books: Books,
    should_stop: Callable[[], bool],
) -> Generator[PhotoOutcome, None, None]:
    for outcome in found.others:
        books.trouble(outcome)
        yield outcome
    if config.dry_run:
        placer = Placer(config, perturber, books)
        yield from (placer.look(task) for task in tasks)
        return
    folders = {task.target.path.parent for task in tasks}
    for folder in folders | {task.target.backup.parent for task in tasks if task.target.backup}:
        remove_parts(folder)
    # One thread more than there are workers: it waits for the disk while all of them are busy.
    threads = ThreadPoolExecutor(config.jobs + 1, thread_name_prefix="photo")
    try:
        with Placer(config, perturber, books) as placer:
            yield from _in_threads(threads, placer.place, tasks, 2 * config.jobs, should_stop)
    finally:
        threads.shutdown()
    for folder in folders:
        sync_folder(folder)


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
