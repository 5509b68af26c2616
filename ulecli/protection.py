"""`protect`: photos in, protected photos out, one outcome for each; prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ulecli import carry, codec
from ulecli.atomic import replacing, sync_folder
from ulecli.batching import batched
from ulecli.errors import NothingToDo, PhotoError, PhotoSkipped
from ulecli.identity import Key, assign_codes, default_key_path, load_key, load_or_create_key
from ulecli.photos import Found, find
from ulecli.records import IdentityCode, Perturber, Photo, PhotoOutcome, ProtectConfig, ProtectReport, Status
from ulecli.targets import Target, check_writable, plan

OnOutcome = Callable[[PhotoOutcome, int], None]
"""Called in the thread of the caller for each photo as it is done, with the number of photos of the run."""


READ_BACK_EVERY = 16
"""One photo in so many, the first included, is read back and measured: it costs as much as protecting one."""


@dataclass(frozen=True)
class _Task:
    target: Target
    identity: str
    code: int
    read_back: bool


def protect(
    config: ProtectConfig,
    perturber: Perturber,
    *,
    on_outcome: OnOutcome | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ProtectReport:
    """Protect every photo under the sources.

    One photo that fails never stops the run. A worker takes a photo all the way from file to file, so no more
    than `config.jobs` photos are in memory; decoding, perturbing and encoding of different photos overlap.

    Args:
        config: What to do.
        perturber: What makes the perturbations; used from `config.jobs` threads.
        on_outcome: Told of each photo as soon as it is done.
        should_stop: Asked before each photo; once it says yes the rest is skipped.

    Raises:
        NoSuchPath: A source does not exist.
        NothingToDo: There is no photo under the sources.
        TargetError: The output can't be written, or would mix with the sources.
        KeyFileError: The user's key can't be read or made.
        KeyboardInterrupt: After the photos in work have been finished; none is left half written.
    """
    began = time.perf_counter()
    found = find(config.sources)
    _check_something(found)
    targets = plan(found.photos, config.sources, config.output)
    check_writable(targets, config.output)
    key, notes = _key(config)
    identities = _assign(config, targets, key, perturber)
    tasks = [_task(config, number, target, identities) for number, target in enumerate(targets)]
    total = len(tasks) + len(found.others)
    outcomes = []
    # Closed at once when the caller's callback or the user breaks off, so that the workers stop.
    with (
        batched(perturber) as shared,
        closing(_outcomes(config, shared, found, tasks, should_stop or (lambda: False))) as stream,
    ):
        for outcome in stream:
            outcomes.append(outcome)
            if on_outcome:
                on_outcome(outcome, total)
    return ProtectReport(
        config=config,
        device=perturber.device,
        surrogate=perturber.label,
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.source)),
        identities=tuple(identities.values()),
        notes=(*notes, *_moves(identities)),
        seconds=time.perf_counter() - began,
    )


def _check_something(found: Found) -> None:
    if found.photos or any(outcome.status is Status.FAILED for outcome in found.others):
        return
    if found.others:
        count, first = len(found.others), found.others[0]
        raise NothingToDo(f"nothing to protect: {count} skipped; {first.source.name!r} {first.reason}")
    raise NothingToDo("there is no JPEG, PNG or WebP photo in what was named")


def _key(config: ProtectConfig) -> tuple[Key | None, list[str]]:
    path = config.key_file or default_key_path()
    key = load_key(path) if config.dry_run else load_or_create_key(path)
    notes = []
    if key is None:
        notes.append(f"there is no key yet; a run that writes would make one at {path}")
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
    config: ProtectConfig, targets: list[Target], key: Key | None, perturber: Perturber
) -> dict[str, IdentityCode]:
    if key is None:
        return {}
    names = {_identity(config, target) for target in targets}
    return assign_codes(names, key.secret, perturber.codes, perturber.families)


def _task(config: ProtectConfig, number: int, target: Target, identities: dict[str, IdentityCode]) -> _Task:
    identity = _identity(config, target)
    code = identities[identity].code if identity in identities else -1
    return _Task(target, identity, code, read_back=config.verify or number % READ_BACK_EVERY == 0)


def _moves(identities: dict[str, IdentityCode]) -> Iterator[str]:
    for one in identities.values():
        if one.moved:
            yield f"{one.name} carries code {one.code}, since another identity of this run has its own"


def _outcomes(
    config: ProtectConfig,
    perturber: Perturber,
    found: Found,
    tasks: list[_Task],
    should_stop: Callable[[], bool],
) -> Generator[PhotoOutcome, None, None]:
    yield from found.others
    if config.dry_run:
        yield from (replace(_blank(task), status=Status.PLANNED) for task in tasks)
        return
    stopping = False

    def work(task: _Task) -> PhotoOutcome:
        if stopping or should_stop():
            return replace(_blank(task), status=Status.SKIPPED, reason="the run was stopped before its turn")
        return _protect_one(task, perturber, config.epsilon)

    workers = ThreadPoolExecutor(config.jobs, thread_name_prefix="photo")
    try:
        futures: list[Future[PhotoOutcome]] = [workers.submit(work, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        # Also when the user interrupts: what is in work is finished, what waits is dropped.
        stopping = True
        workers.shutdown(wait=True, cancel_futures=True)
        for folder in {task.target.path.parent for task in tasks}:
            sync_folder(folder)


def _blank(task: _Task) -> PhotoOutcome:
    photo = task.target.photo
    return PhotoOutcome(
        source=photo.path,
        target=task.target.path,
        status=Status.FAILED,
        reason=task.target.remark,
        format=photo.format,
        identity=task.identity,
        code=task.code,
    )


def _protect_one(task: _Task, perturber: Perturber, epsilon: int) -> PhotoOutcome:
    """Protect one photo; whatever goes wrong becomes its outcome."""
    began = time.perf_counter()
    blank = replace(_blank(task), target=None, code=-1)
    try:
        outcome = _file_to_file(task, perturber, epsilon)
    except PhotoSkipped as skipped:
        outcome = replace(blank, status=Status.SKIPPED, reason=str(skipped))
    except PhotoError as error:
        outcome = replace(blank, reason=str(error))
    except MemoryError:
        outcome = replace(blank, reason="needs more memory than there is; try --jobs 1")
    except OSError as error:
        outcome = replace(blank, reason=f"can't be read or written: {error.strerror or error}")
    except Exception as error:  # a fault of ours: the other photos shall not suffer from it
        outcome = replace(blank, reason=f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")
    return replace(outcome, seconds=time.perf_counter() - began)


def _file_to_file(task: _Task, perturber: Perturber, epsilon: int) -> PhotoOutcome:
    photo, target = task.target.photo, task.target.path
    stat = photo.path.stat()
    picture = codec.decode(photo.path, photo.format)
    delta = _delta(picture, task.code, perturber, epsilon)
    if len(delta) > 1 and picture.image.mode != "RGB":  # only luma can be added to YCbCr
        picture = codec.decode(photo.path, photo.format, rgb=True)
    change = carry.add_delta(picture.image, delta, picture.alpha)
    if change.max_change > epsilon:
        raise PhotoError(f"the perturbation reached {change.max_change} levels, more than --eps {epsilon}")
    outcome = replace(
        _blank(task),
        status=Status.WRITTEN,
        reason="; ".join(filter(None, (task.target.remark, *picture.remarks))),
        width=picture.image.width,
        height=picture.image.height,
        max_change=change.max_change,
        psnr_db=change.psnr_db,
    )
    with replacing(target) as part:
        codec.encode(picture, picture.image, part)
        if task.read_back:
            del picture  # a large photo's memory, needed again
            stored = _read_back(photo, part)
            outcome = replace(outcome, max_change_on_disk=stored.max_change, psnr_db_on_disk=stored.psnr_db)
        os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # libraries sort by it
    return outcome


def _read_back(photo: Photo, part: Path) -> carry.Difference:
    """Compare the source with what was written, both read from the disk as any viewer would."""
    source = codec.decode(photo.path, photo.format, rgb=True)
    return carry.difference(source.image, codec.read_rgb(part, photo.format))


def _delta(picture: codec.Picture, code: int, perturber: Perturber, epsilon: int) -> NDArray[np.int8]:
    """Return (1 or 3, S, S) levels for one photo."""
    images = carry.working_image(picture.image, perturber.grid)[None]
    codes = np.array([code], np.int64)
    aspects = np.array([picture.image.width / picture.image.height], np.float32)
    delta: NDArray[np.int8] = perturber(images, codes, aspects, epsilon=epsilon)[0]
    return delta
