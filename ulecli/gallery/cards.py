"""The small pictures of the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from ulecli import carry
from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import colour
from ulecli.records import PhotoOutcome, Status
from ulecli.verify import load
from ulecli.verify.figure import perturbation, shrunk

SIDE = 240
"""Longest side of a thumbnail in pixels: the cells of a perturbation are still several pixels wide."""


@dataclass(frozen=True)
class Card:
    """A photo of the page.

    Attributes:
        outcome: What became of it.
        protected: Thumbnail as a data URI.
        change: Thumbnail of the perturbation as a data URI; empty if the original is not there any more.
        psnr_db: Of the file against its original if the run did not tell one; None if neither is known.
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


def cards(outcomes: Sequence[PhotoOutcome], epsilon: int, *, jobs: int = 1) -> Iterator[Card]:
    """Make the card of each photo; one whose file can't be read any more is left out.

    Args:
        outcomes: Photos with a target.
        epsilon: The bound in levels, which the perturbation is scaled by.
        jobs: Photos in memory at the same time.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="card") as workers:
        yield from filter(None, workers.map(lambda outcome: _card(outcome, epsilon), outcomes))


def _card(outcome: PhotoOutcome, epsilon: int) -> Card | None:
    assert outcome.target
    try:
        protected, _ = load(outcome.target)
    except (PhotoError, PhotoSkipped, OSError, MemoryError):
        return None
    small = shrunk(protected, SIDE)
    try:
        original, _ = load(outcome.source)
    except (PhotoError, PhotoSkipped, OSError, MemoryError):
        original = None
    # In place, the source is the protected photo itself by now.
    if original is None or original.size != protected.size or outcome.source.samefile(outcome.target):
        return Card(outcome, _uri(small), psnr_db=outcome.psnr_db)
    psnr = outcome.psnr_db if outcome.psnr_db is not None else carry.difference(original, protected).psnr_db
    return Card(outcome, _uri(small), _uri(perturbation(shrunk(original, SIDE), small, epsilon)), psnr)


def _uri(picture: Image.Image) -> str:
    stored = BytesIO()
    colour.rgb_to_srgb(picture, picture.info.get("icc_profile", b"")).save(stored, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(stored.getvalue()).decode("ascii")
