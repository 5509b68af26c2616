"""The small pictures of the page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import colour
from ulecli.formats.picture import load
from ulecli.imaging.difference import difference
from ulecli.imaging.figure import perturbation, shrunk
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.system.isolated import Ask, Handler, IsolatedWorker, Pool
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.system.plain_data import BadMessage, Message, plain, restored

SIDE = 240
"""Longest side of a thumbnail in pixels: the cells of a perturbation are still several pixels wide."""


ENTRY = "ulecli.report.cards:handler"

_JPEG = b"\xff\xd8\xff"
_MAX_CONTENT = 4 << 20


@dataclass(frozen=True)
class Card:
    """A photo of the page.

    Attributes:
        outcome: What became of it.
        protected: Thumbnail as a data URI.
        change: Thumbnail of the perturbation as a data URI; empty if the original is not there any more.
        psnr_db: Of the file against its original if the run recorded none; None if neither is known.
    """

    outcome: PhotoOutcome
    protected: str
    change: str = ""
    psnr_db: float | None = None


def chosen(outcomes: Sequence[PhotoOutcome], count: int) -> list[PhotoOutcome]:
    """Return at most `count` of the photos that have a protected copy, evenly spread."""
    there = [it for it in outcomes if it.status is Status.WRITTEN and it.target and it.target.is_file()]
    if len(there) <= count:
        return there
    return [there[place * len(there) // count] for place in range(count)]


def cards(
    outcomes: Sequence[PhotoOutcome],
    epsilon: int,
    *,
    jobs: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
    on_failure: Callable[[PhotoOutcome, str], None] = lambda outcome, reason: None,
) -> Iterator[Card]:
    """Make the card of each photo, in processes of their own; one that can't be made is left out.

    Args:
        outcomes: Photos with a target.
        epsilon: The bound in levels, which the perturbation is scaled by.
        jobs: Photos in memory at the same time.
        timeout: Seconds that one photo may take; 0 for any.
        on_failure: Called in any thread with a photo whose file can't be shown, and why.
    """

    def card(worker: IsolatedWorker, outcome: PhotoOutcome) -> Card | None:
        assert outcome.target
        request = Request(outcome.target, outcome.source, epsilon, measured=outcome.psnr_db is None)
        try:
            drawn = worker.call(plain(request), _checked, max_content=_MAX_CONTENT)
        except (PhotoError, PhotoSkipped) as error:
            on_failure(outcome, str(error))
            return None
        psnr = outcome.psnr_db if outcome.psnr_db is not None else drawn.psnr_db
        return Card(outcome, _uri(drawn.protected), _uri(drawn.change), psnr)

    yield from filter(None, Pool(ENTRY, jobs, timeout=timeout).map(card, outcomes))


@dataclass(frozen=True)
class Request:
    """What is asked about a photo.

    Attributes:
        target: The protected file.
        source: The original, which may not be there any more, or be the protected file itself.
        epsilon: The bound in levels.
        measured: The PSNR is wanted too.
    """

    target: Path
    source: Path
    epsilon: int
    measured: bool


@dataclass(frozen=True)
class Drawn:
    """What was drawn of it.

    Attributes:
        protected: Thumbnail, a JPEG.
        change: Thumbnail of the perturbation, a JPEG; empty without an original.
        psnr_db: Of the file against its original; None without one, or if it was not wanted.
    """

    protected: bytes
    change: bytes = b""
    psnr_db: float | None = None


def handler() -> Handler:
    """Return what draws a photo for each request, in the process of a worker."""

    def handle(request: Message, ask: Ask) -> Message:
        drawn: Message = plain(_drawn(restored(Request, request)))
        return drawn

    return handle


def _drawn(request: Request) -> Drawn:
    protected, _ = load(request.target)
    small = shrunk(protected, SIDE)
    try:
        original, _ = load(request.source)
    except (PhotoError, PhotoSkipped, OSError, MemoryError):
        original = None
    # In place, the source is the protected photo itself by now.
    if original is None or original.size != protected.size or request.source.samefile(request.target):
        return Drawn(_jpeg(small))
    change = perturbation(shrunk(original, SIDE), small, request.epsilon)
    psnr = difference(original, protected).psnr_db if request.measured else None
    return Drawn(_jpeg(small), _jpeg(change), psnr)


def _checked(content: Message) -> Drawn:
    """Return what a worker sends, if it can be; that its pictures are some is for the browser to see."""
    drawn = restored(Drawn, content)
    pictures = [drawn.protected, *([drawn.change] if drawn.change else [])]
    if not all(picture.startswith(_JPEG) for picture in pictures) or (drawn.psnr_db or 0) < 0:
        raise BadMessage("draws no picture")
    return drawn


def _jpeg(picture: Image.Image) -> bytes:
    stored = BytesIO()
    colour.rgb_to_srgb(picture, picture.info.get("icc_profile", b"")).save(stored, "JPEG", quality=75)
    return stored.getvalue()


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii") if jpeg else ""
