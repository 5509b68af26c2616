"""The work on one photo: from its file to a finished file beside its target, still without its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.audit import is_protected
from ulecli.formats.memory import Memory
from ulecli.formats.metadata.policy import carried, merged
from ulecli.formats.options import MetadataMode as Mode
from ulecli.formats.options import Reading
from ulecli.formats.picture import MAX_PIXELS, Picture, decode, encode, read_rgb
from ulecli.imaging.delta import add_delta, fitting_grid, working_image
from ulecli.imaging.difference import difference, set_aside
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import amplitudes
from ulecli.protection.outcome import Photo
from ulecli.system.fingerprint import Fingerprint, file_sha256


@dataclass(frozen=True)
class Sample:
    """What a perturbation is made from.

    Attributes:
        image: (3, S, S) the working image, unit scale.
        amplitudes: (1, S, S) how far each cell may be moved, in levels, above 0 and at most epsilon.
        aspect: Width / height of the photo.
    """

    image: NDArray[np.float32]
    amplitudes: NDArray[np.float32]
    aspect: float


Perturb = Callable[[Sample], NDArray[np.int8]]
"""Returns (1 or 3, S, S) levels."""

_LARGE = 30_000_000
"""Pixels; two pictures of more are not held in memory at once."""


@dataclass(frozen=True)
class Job:
    """What is asked of one photo.

    Attributes:
        photo: The file.
        part: The file to write; it does not exist yet.
        epsilon: Bound on the change, in levels.
        grid: Side S of the working image; of a photo with a shorter side, that.
        reading: How the file is read.
        read_back: Read the written file and measure it.
        strength: How visible the change may be.
        sampled: Only show what a perturbation would be made from; write nothing.
        owner: Give the written file to the photo's owner.
    """

    photo: Photo
    part: Path
    epsilon: int
    grid: int
    reading: Reading
    read_back: bool
    strength: Strength = Strength.DEFAULT
    sampled: bool = False
    owner: bool = False


@dataclass(frozen=True)
class Measured:
    """What was measured of a protected photo; see `PhotoOutcome`."""

    width: int
    height: int
    max_change: int
    psnr_db: float
    max_change_on_disk: int | None = None
    psnr_db_on_disk: float | None = None


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        source: Fingerprint of the photo.
        sha256: Of the written file.
        measured: Of the picture.
        remarks: For the user.
    """

    source: Fingerprint
    sha256: bytes
    measured: Measured
    remarks: tuple[str, ...]


def make(job: Job, perturb: Perturb, memory: Memory | None = None) -> Made:
    """Protect one photo; when this returns the written file is whole, but not yet synced.

    The folder of `job.part` is there already.

    Raises:
        PhotoError: It can't be protected, or changed while it was read.
        PhotoSkipped: It is left alone on purpose.
        OSError: A file can't be read or written.
        MemoryError: It is too large for the machine.
    """
    before = _stat(job.photo.path)
    try:
        return _make(job, before, perturb, memory or Memory())
    except BaseException as error:
        job.part.unlink(missing_ok=True)
        if isinstance(error, PhotoError | OSError):  # then that is the cause, and the rest follows from it
            _check_same(job.photo.path, before)
        raise


def _make(job: Job, before: os.stat_result, perturb: Perturb, memory: Memory) -> Made:
    path = job.photo.path
    if is_protected(path):
        raise PhotoSkipped("is marked as protected already, and nothing is protected twice")
    sha256 = file_sha256(path)
    measured, remarks = _write(job, perturb, memory)
    _dress(job, before)
    _check_same(path, before)
    source = Fingerprint(before.st_size, before.st_mtime_ns, 0, sha256)
    return Made(source, file_sha256(job.part), measured, remarks)


def sample(job: Job, memory: Memory | None = None) -> Sample:
    """Return what a photo's perturbation would be made from.

    Raises:
        PhotoError: It can't be protected.
        PhotoSkipped: It is left alone on purpose.
        OSError: It can't be read.
        MemoryError: It is too large for the machine.
    """
    if is_protected(job.photo.path):
        raise PhotoSkipped("is marked as protected already, and nothing is protected twice")
    return _sample(_decoded(job, memory or Memory()), job)


def _decoded(job: Job, memory: Memory) -> Picture:
    return decode(
        job.photo.path,
        job.photo.format,
        memory=memory,
        first_frame=job.reading.first_frame,
        max_pixels=job.reading.max_pixels or MAX_PIXELS,
    )


def _sample(picture: Picture, job: Job) -> Sample:
    image = picture.image
    # Only where photos are put together, to find a direction, must all grids have one size.
    grid = job.grid if job.sampled else fitting_grid(image.size, job.grid)
    return Sample(
        working_image(image, grid, picture.pixels),
        amplitudes(image, grid, job.strength, job.epsilon),
        image.width / image.height,
    )


def _write(job: Job, perturb: Perturb, memory: Memory) -> tuple[Measured, tuple[str, ...]]:
    picture = _decoded(job, memory)
    delta = perturb(_sample(picture, job))
    with _original(picture.image, job) as original:
        change = add_delta(picture.image, delta, picture.pixels)
        if change.max_change > job.epsilon:
            raise PhotoError(
                f"the perturbation reached {change.max_change} levels, more than --eps {job.epsilon}"
            )
        if change.max_change == 0:
            raise PhotoSkipped(
                "no pixel of it can change (is all of it transparent, or so smooth that only a greater "
                "--strength would change it?), so it is not protected"
            )
        measured = Measured(*picture.image.size, change.max_change, change.psnr_db)
        picture = _with_metadata(picture, job)
        remarks = picture.remarks
        encode(picture, picture.image, job.part)
        if original:
            del picture  # a large photo's memory, needed again
            stored = difference(original, read_rgb(job.part, job.photo.format))
            measured = replace(measured, max_change_on_disk=stored.max_change, psnr_db_on_disk=stored.psnr_db)
    return measured, remarks


@contextlib.contextmanager
def _original(image: Image.Image, job: Job) -> Iterator[Image.Image | BinaryIO | None]:
    """Lend the photo as any viewer shows it, for a comparison with what will be written; None for none."""
    if not job.read_back:
        yield None
    elif image.width * image.height <= _LARGE:
        yield image.copy()
    else:
        with set_aside(image, job.part.parent) as aside:
            del image  # or its memory would stay until the end
            yield aside


def _with_metadata(picture: Picture, job: Job) -> Picture:
    """Choose what of the photo's metadata goes on, and mark the picture as protected."""
    info = {**picture.info, "exif": picture.exif, "xmp": picture.xmp}
    mode, size = Mode(job.reading.metadata), picture.image.size
    kept = carried(info, mode, format=picture.format, size=size, epsilon=job.epsilon)
    return replace(
        picture, settings=merged(picture.settings, kept), remarks=(*picture.remarks, *kept.remarks)
    )


def _dress(job: Job, before: os.stat_result) -> None:
    """Give the written file what the photo has: permissions, modification time, and in place its owner."""
    if job.owner and hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # only the superuser may give files away
            os.chown(job.part, before.st_uid, before.st_gid)
    job.part.chmod(before.st_mode & 0o777)
    os.utime(job.part, ns=(before.st_atime_ns, before.st_mtime_ns))  # libraries sort by it


def _check_same(path: Path, before: os.stat_result) -> None:
    seen = [(stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in (before, _stat(path))]
    if seen[0] != seen[1]:
        raise PhotoError("changed while it was read; the next run takes it")


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise PhotoError("vanished before it was read to its end") from None
