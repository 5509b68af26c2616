"""The photos of the page: which they are, and what it shows of each."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.imaging.visibility import Visibility
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.report.drawing import MAX_BYTES, Request, View, checked
from ulecli.system.isolated import IsolatedWorker, Pool
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.system.plain_data import plain

ENTRY = "ulecli.report.drawing:handler"


@dataclass(frozen=True)
class Comparison:
    """Two pictures of one size to be compared.

    Attributes:
        width: In pixels.
        height: In pixels.
        after: The protected photo as a data URI.
        before: The original as a data URI; empty if it is not there any more.
    """

    width: int
    height: int
    after: str
    before: str


@dataclass(frozen=True)
class Card:
    """A photo of the page. What compares it with its original is empty or None if that is not there any more.

    Attributes:
        outcome: What became of it.
        fitted: The whole photo as it fits a screen.
        close: The part in which the change is seen most, in its own pixels; None if `fitted` has them.
        change: Thumbnail of the perturbation as a data URI.
        psnr_db: As the run recorded it, or else of the file.
        ssim: Of the file.
        visibility: Of the change at the size of a screen; None also if it was not measured.
    """

    outcome: PhotoOutcome
    fitted: Comparison
    close: Comparison | None = None
    change: str = ""
    psnr_db: float | None = None
    ssim: float | None = None
    visibility: Visibility | None = None


@dataclass(frozen=True)
class Worst:
    """The photos in which the change is seen most.

    Attributes:
        cards: They, the worst first: by SSIMULACRA2 or, where it was not measured, by SSIM; behind them those
            whose original is not there any more.
        drawn: From how many they were taken.
        visibilities: Of all that were measured.
    """

    cards: tuple[Card, ...]
    drawn: int
    visibilities: tuple[Visibility, ...]


def chosen(outcomes: Sequence[PhotoOutcome], count: int) -> list[PhotoOutcome]:
    """Return at most `count` of the photos that have a protected copy, evenly spread."""
    there = [it for it in outcomes if it.status is Status.WRITTEN and it.target and it.target.is_file()]
    if len(there) <= count:
        return there
    return [there[place * len(there) // count] for place in range(count)]


def worst(cards: Iterable[Card], count: int) -> Worst:
    """Return at most `count` of the cards, the worst first; the pictures of the others are not kept."""
    drawn = 0
    visibilities = list[Visibility]()

    def counted() -> Iterator[Card]:
        nonlocal drawn
        for card in cards:
            drawn += 1
            visibilities.extend([card.visibility] if card.visibility else [])
            yield card

    shown = heapq.nsmallest(count, counted(), key=_likeness)
    return Worst(tuple(shown), drawn, tuple(visibilities))


def _likeness(card: Card) -> tuple[bool, float]:
    if card.visibility:
        return False, card.visibility.ssimulacra2
    return card.ssim is None, card.ssim or 0


def cards(
    outcomes: Sequence[PhotoOutcome],
    epsilon: int,
    *,
    visibility: bool = False,
    jobs: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
    on_failure: Callable[[PhotoOutcome, str], None] = lambda outcome, reason: None,
) -> Iterator[Card]:
    """Make the card of each photo, in processes of their own; one that can't be made is left out.

    Args:
        outcomes: Photos with a target.
        epsilon: The bound in levels, which the perturbation is scaled by.
        visibility: Measure SSIMULACRA2 and FLIP, for which the extra `measure` must be installed.
        jobs: Photos in memory at the same time.
        timeout: Seconds that one photo may take; 0 for any.
        on_failure: Called in any thread with a photo whose file can't be shown, and why.
    """

    def card(worker: IsolatedWorker, outcome: PhotoOutcome) -> Card | None:
        assert outcome.target
        request = Request(outcome.target, outcome.source, epsilon, visibility)
        try:
            drawn = worker.call(plain(request), lambda found: checked(found, request), max_content=MAX_BYTES)
        except (PhotoError, PhotoSkipped) as error:
            on_failure(outcome, str(error))
            return None
        return Card(
            outcome,
            _comparison(drawn.fitted),
            _comparison(drawn.close) if drawn.close else None,
            _uri(drawn.change),
            drawn.psnr_db if outcome.psnr_db is None else outcome.psnr_db,
            drawn.ssim,
            drawn.visibility,
        )

    yield from filter(None, Pool(ENTRY, jobs, timeout=timeout).map(card, outcomes))


def _comparison(view: View) -> Comparison:
    return Comparison(view.width, view.height, _uri(view.after), _uri(view.before))


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii") if jpeg else ""
