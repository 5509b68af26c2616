"""The page itself: one file, without scripts, that asks nobody for anything.

What is on it is made here, and how it looks is in `page.html.jinja`, whose values are escaped by jinja2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from statistics import fmean

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ulecli import __version__
from ulecli.errors import install_extra, shown
from ulecli.imaging.visibility import EXTRA, SCREEN_SIDE
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.report.cards import Card, Comparison, Worst
from ulecli.report.histogram import histogram
from ulecli.report.runs import Run

_MAX_LISTED = 2000

_COMMON = 3
"""A reason that more photos than this share is also counted above the list."""


@dataclass(frozen=True)
class _Change:
    """How far the photos are from their originals: PSNR in dB, and its histogram as SVG."""

    middle: float
    least: float
    count: int
    drawing: Markup


@dataclass(frozen=True)
class _Seen:
    """How visible the change is: SSIMULACRA2 and FLIP, mean and worst over the photos that were measured."""

    score: float
    worst_score: float
    error: float
    worst_error: float
    count: int


@dataclass(frozen=True)
class _List:
    heading: str
    outcomes: Sequence[PhotoOutcome]
    more: int
    common: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class _Figure:
    name: str
    fitted: Comparison
    close: Comparison | None
    change: str
    facts: Sequence[str]


@dataclass(frozen=True)
class _Fact:
    count: int
    word: str
    bad: bool


def page(run: Run, worst: Worst, when: datetime) -> str:
    """Return the page of a run as HTML.

    Args:
        run: What was done.
        worst: The photos to show.
        when: The page is made.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"shown": lambda words: shown(str(words)), "thousands": lambda count: f"{count:,}"}
    template = environment.from_string((files("ulecli.report") / "page.html.jinja").read_text("utf-8"))
    return template.render(
        run=run,
        when=when,
        version=__version__,
        facts=list(_facts(run)),
        change=_change(run, worst.cards),
        seen=_seen(worst),
        failed=_listed("Failed", run.of(Status.FAILED)),
        skipped=_listed("Skipped", run.of(Status.SKIPPED)),
        cards=list(map(_figure, worst.cards)),
        drawn=worst.drawn,
        screen=SCREEN_SIDE,
        install=install_extra(EXTRA),
        written=len(run.of(Status.WRITTEN)),
    )


def _facts(run: Run) -> Iterator[_Fact]:
    for status, word in (
        (Status.WRITTEN, "protected"),
        (Status.PLANNED, "planned"),
        (Status.SKIPPED, "skipped"),
        (Status.FAILED, "failed"),
    ):
        count = len(run.of(status))
        if count or status in (Status.WRITTEN, Status.FAILED):
            yield _Fact(count, word, bad=bool(count) and status is Status.FAILED)


def _change(run: Run, cards: Sequence[Card]) -> _Change | None:
    reported = [outcome.psnr_db for outcome in run.of(Status.WRITTEN)]
    measured = reported if any(value is not None for value in reported) else [card.psnr_db for card in cards]
    values = sorted(value for value in measured if value is not None and math.isfinite(value))
    if not values:
        return None
    label = f"Histogram of the PSNR of {len(values)} photos, {values[0]:.1f} to {values[-1]:.1f} dB"
    drawing = Markup(histogram(values, "dB", label))  # made of numbers alone: nothing in it needs escaping
    return _Change(values[len(values) // 2], values[0], len(values), drawing)


def _seen(worst: Worst) -> _Seen | None:
    if not worst.visibilities:
        return None
    scores = [it.ssimulacra2 for it in worst.visibilities]
    errors = [it.flip for it in worst.visibilities]
    return _Seen(fmean(scores), min(scores), fmean(errors), max(errors), len(scores))


def _listed(heading: str, outcomes: Sequence[PhotoOutcome]) -> _List:
    reasons = Counter(outcome.reason for outcome in outcomes)
    common = [(reason, count) for reason, count in reasons.most_common(5) if count > _COMMON]
    return _List(heading, outcomes[:_MAX_LISTED], max(0, len(outcomes) - _MAX_LISTED), common)


def _figure(card: Card) -> _Figure:
    outcome = card.outcome
    facts = [f"{outcome.width} \N{MULTIPLICATION SIGN} {outcome.height}"] if outcome.width else []
    if card.visibility:
        facts += [f"SSIMULACRA2 {card.visibility.ssimulacra2:.1f}", f"FLIP {card.visibility.flip:.3f}"]
    facts += [f"SSIM {card.ssim:.4f}"] if card.ssim is not None else []
    if card.psnr_db is not None and math.isfinite(card.psnr_db):
        facts.append(f"PSNR {card.psnr_db:.1f} dB")
    facts += [outcome.reason] if outcome.reason else []
    return _Figure((outcome.target or outcome.source).name, card.fitted, card.close, card.change, facts)
