"""Measuring one pair of files: what happens to them in a process of its own, and what comes back from it.

A file that is verified may come from anywhere, so everything that reads its content is done there: decoding,
comparing, and following its metadata. Judging what was measured is for the process that asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.formats import audit
from ulecli.formats.picture import displayed, load
from ulecli.formats.registry import SUFFIXES
from ulecli.imaging.difference import difference
from ulecli.imaging.figure import shrunk
from ulecli.imaging.ssim import ssim
from ulecli.imaging.variants import VARIANTS, Sight, seen, views
from ulecli.imaging.visibility import SCREEN_SIDE, Visibility, visibility
from ulecli.system.isolated import IsolatedWorker
from ulecli.system.plain_data import BadMessage, Message, plain, restored
from ulecli.system.serving import Ask, Handler
from ulecli.units import LEVELS, MAX_EPSILON

ENTRY = "ulecli.verification.measure:handler"

_MAX_SIDE = 1 << 30
_MAX_CONTENT = 64 << 20


@dataclass(frozen=True)
class Request:
    """What is asked about a pair.

    Attributes:
        original: The photo.
        protected: Its copy.
        sight: How the surrogate's net sees a picture; None if it is not asked.
        drawn: Longest side of the small pictures that are wanted for a figure, in pixels; 0 for none.
        visibility: SSIMULACRA2 and FLIP are wanted, which take seconds and the packages of the extra.
    """

    original: Path
    protected: Path
    sight: Sight | None = None
    drawn: int = 0
    visibility: bool = False


@dataclass(frozen=True)
class Measures:
    """What was found in a pair of files.

    Attributes:
        format: Of the protected file, by content.
        size: Width and height of the upright protected picture, in pixels.
        original_size: Those of the original.
        lossless: The format holds every level as it was.
        mark_epsilon: The bound that its mark names, in levels, 0 if it names none; None if it bears no mark.
        leaks: What the file reveals beyond what the metadata mode `private` writes.
        max_change: Largest change of any channel of RGB, in levels; None if the sizes differ, as below.
        psnr_db: Peak signal-to-noise ratio in dB; infinite for equal pictures.
        ssim: Mean structural similarity of the luma.
        visibility: Of the change at the size of a screen; None if nobody asked, or the sizes differ.
        variants: Names of the variants of the protected picture that the net shall see.
        seen: (N, C, side, side) float32, unit scale: each variant as the net sees it.
        original_seen: (1, C, side, side) likewise: the original.
        drawn: Original and protected picture for a figure, (H, W, 3) uint8.
    """

    format: str
    size: tuple[int, ...]
    original_size: tuple[int, ...]
    lossless: bool
    mark_epsilon: int | None
    leaks: tuple[str, ...]
    max_change: int | None = None
    psnr_db: float | None = None
    ssim: float | None = None
    visibility: Visibility | None = None
    variants: tuple[str, ...] = ()
    seen: NDArray[np.float32] | None = None
    original_seen: NDArray[np.float32] | None = None
    drawn: tuple[NDArray[np.uint8], ...] = ()


def measured_in(worker: IsolatedWorker, request: Request) -> Measures:
    """Have a worker of `ENTRY` measure a pair.

    Raises:
        PhotoError: One of the files can't be read; or the worker died of it, took too long, or sent what it
            must not.
        PhotoSkipped: One of them is of a kind that can't be read.
    """
    return worker.call(plain(request), lambda found: _checked(found, request), max_content=_MAX_CONTENT)


def handler() -> Handler:
    """Return what measures a pair for each request, in the process of a worker."""

    def handle(request: Message, ask: Ask) -> Message:
        found: Message = plain(measure(restored(Request, request)))
        return found

    return handle


def measure(request: Request) -> Measures:
    """Measure a pair in this process.

    Raises:
        PhotoError: One of the files is damaged or no photo.
        PhotoSkipped: One of them is of a kind that can't be read.
        OSError: One of them can't be read.
        MemoryError: They are too large for the machine.
        MissingExtra: Visibility is wanted, and the packages of it are not installed.
    """
    original, _ = load(request.original, alpha=request.visibility)
    protected, format = load(request.protected, alpha=request.visibility)
    mark = audit.mark_in(request.protected)
    found = Measures(
        format,
        protected.size,
        original.size,
        audit.is_lossless(request.protected, format),
        mark.epsilon if mark else None,
        tuple(audit.leaks(request.protected)),
    )
    if original.size != protected.size:
        return found
    visible = visibility(_on_screen(original), _on_screen(protected)) if request.visibility else None
    original, protected = (it if it.mode == "RGB" else it.convert("RGB") for it in (original, protected))
    apart = difference(original, protected)
    names: tuple[str, ...] = ()
    shown = before = None
    if request.sight:
        names, shown = views(protected, request.sight)
        before = seen([original], request.sight)
    pictures = (original, protected) if request.drawn else ()
    return replace(
        found,
        variants=names,
        seen=shown,
        original_seen=before,
        max_change=apart.max_change,
        psnr_db=apart.psnr_db,
        ssim=ssim(original, protected),
        visibility=visible,
        drawn=tuple(np.asarray(shrunk(picture, request.drawn)) for picture in pictures),
    )


def _on_screen(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(displayed(shrunk(picture, SCREEN_SIDE)))


def _checked(content: Message, request: Request) -> Measures:
    """Return what a worker sends, if it can be."""
    found = restored(Measures, content)
    sizes = (found.size, found.original_size)
    sided = all(len(size) == 2 and 0 < min(size) <= max(size) <= _MAX_SIDE for size in sizes)
    if not sided or found.format not in SUFFIXES or not 0 <= (found.mark_epsilon or 0) <= MAX_EPSILON:
        raise BadMessage("reports of a file what can't be")
    compared = [found.max_change, found.psnr_db, found.ssim, found.visibility]
    if found.size != found.original_size:
        if compared != [None] * 4 or found.seen is not None or found.original_seen is not None or found.drawn:
            raise BadMessage("compares pictures of two sizes")
        return found
    if found.max_change is None or found.psnr_db is None or found.ssim is None:
        raise BadMessage("lacks a measure")
    if not (0 <= found.max_change <= LEVELS and found.psnr_db >= 0 and -1 <= found.ssim <= 1 + 1e-6):
        raise BadMessage("measures what can't be")
    _check_visibility(found.visibility, request.visibility)
    _check_seen(found, request.sight)
    _check_drawn(found, request.drawn)
    return found


def _check_visibility(found: Visibility | None, wanted: bool) -> None:
    if (found is not None) is not wanted:
        raise BadMessage("measures what nobody asked for, or lacks it")
    if found and not found.possible:
        raise BadMessage("measures a visibility that can't be")


def _check_seen(found: Measures, sight: Sight | None) -> None:
    if sight is None:
        if found.seen is not None or found.original_seen is not None or found.variants:
            raise BadMessage("shows what nobody asked for")
        return
    count = len(found.variants)
    if not count or len(set(found.variants)) < count or not set(found.variants) <= set(VARIANTS):
        raise BadMessage("names variants that are none")
    for shown, number in ((found.seen, count), (found.original_seen, 1)):
        shape = (number, sight.channels, sight.side, sight.side)
        if shown is None or shown.dtype != np.float32 or shown.shape != shape:
            raise BadMessage("shows no such pictures")
        if not (np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1):
            raise BadMessage("shows levels that no picture has")


def _check_drawn(found: Measures, side: int) -> None:
    if len(found.drawn) != (2 if side else 0):
        raise BadMessage("draws what nobody asked for")
    for picture in found.drawn:
        sides = picture.ndim == 3 and min(picture.shape) > 0 and max(picture.shape) <= max(side, 3)
        if picture.dtype != np.uint8 or not sides or picture.shape != (*found.drawn[0].shape[:2], 3):
            raise BadMessage("draws no picture")
