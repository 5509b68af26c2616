"""The page itself: one file, without scripts, that asks nobody for anything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from ulecli import __version__
from ulecli.errors import shown
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.report.cards import Card
from ulecli.report.histogram import histogram
from ulecli.report.runs import Run

_MAX_LISTED = 2000

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1d20; --quiet: #5d6168; --paper: #fbfbfa; --card: #fff;
  --line: #dcdcd8; --accent: #2f6f8f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e9e6; --quiet: #a3a7ad; --paper: #17181a;
  --card: #202225; --line: #36393e; --accent: #7fb8d3; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0; max-width: 44rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
.facts { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 1rem 0; padding: 0; list-style: none; }
.facts b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts .bad b { color: var(--bad); }
svg { width: 100%; max-width: 40rem; height: auto; display: block; }
svg text { fill: var(--quiet); font: 12px system-ui, sans-serif; }
.bar { fill: var(--accent); } .axis { stroke: var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid var(--line); padding: .4rem .75rem .4rem 0; vertical-align: top; }
td:first-child { width: 45%; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr));
  gap: 1rem; margin-top: 1rem; align-items: start; }
figure { margin: 0; padding: .5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; align-items: center; }
.pair img { width: 100%; height: auto; max-height: 18rem; object-fit: contain; display: block; }
footer { margin-top: 2.5rem; max-width: 44rem; }
.gone { color: var(--quiet); font-size: .85rem; text-align: center; }
figcaption { margin-top: .4rem; font-size: .85rem; line-height: 1.35; }
@media (max-width: 34rem) { svg text { font-size: 20px; } td, td:first-child { display: block; width: auto; }
  td + td { border: 0; padding-top: 0; color: var(--quiet); } }
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(run: Run, cards: Sequence[Card], when: datetime) -> str:
    """Return the page of a run as HTML.

    Args:
        run: What was done.
        cards: Of the photos to show.
        when: The page is made.
    """
    written = run.of(Status.WRITTEN)
    name = _text(run.name)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{name}: protected photos</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{name}: protected photos</h1>
<p class="quiet">{_circumstances(run, when)}</p>
</header>
<ul class="facts">{"".join(_facts(run))}</ul>
{_change(run, cards)}
{_listed("Failed", run.of(Status.FAILED))}
{_gallery(cards, len(written))}
{_listed("Skipped", run.of(Status.SKIPPED))}
<footer class="quiet">Keep this page to yourself: whoever has many photos together with their perturbations
can train a filter that removes them.</footer>
</body>
</html>
"""


def _circumstances(run: Run, when: datetime) -> str:
    words = [f"ulecli {__version__}", when.strftime("%Y-%m-%d %H:%M")]
    words += [f"at most {run.epsilon} levels"] if run.epsilon else []
    words += [f"surrogate {_text(run.surrogate)}"] if run.surrogate else []
    return " · ".join(words)


def _facts(run: Run) -> Iterable[str]:
    for status, word in (
        (Status.WRITTEN, "protected"),
        (Status.PLANNED, "planned"),
        (Status.SKIPPED, "skipped"),
        (Status.FAILED, "failed"),
    ):
        count = len(run.of(status))
        if count or status in (Status.WRITTEN, Status.FAILED):
            bad = ' class="bad"' if count and status is Status.FAILED else ""
            yield f"<li{bad}><b>{count:,}</b>{word}</li>"


def _change(run: Run, cards: Sequence[Card]) -> str:
    told = [it.psnr_db for it in run.of(Status.WRITTEN)]
    measured = told if any(value is not None for value in told) else [card.psnr_db for card in cards]
    values = [value for value in measured if value is not None and math.isfinite(value)]
    if not values:
        return ""
    middle = sorted(values)[len(values) // 2]
    label = f"Histogram of the PSNR of {len(values)} photos, {min(values):.1f} to {max(values):.1f} dB"
    return (
        "<h2>How far the photos moved</h2>"
        f"<p class='quiet'>PSNR against the originals: {middle:.1f} dB in the middle, {min(values):.1f} dB "
        f"at least, over {len(values):,} photos. Higher is closer; by 8 levels everywhere it is 30.1 dB.</p>"
        f"{histogram(values, 'dB', label)}"
    )


def _listed(heading: str, outcomes: Sequence[PhotoOutcome]) -> str:
    if not outcomes:
        return ""
    reasons = Counter(outcome.reason for outcome in outcomes)
    rows = "".join(
        f"<tr><td>{_path(outcome.source)}</td><td>{_text(outcome.reason)}</td></tr>"
        for outcome in outcomes[:_MAX_LISTED]
    )
    more = len(outcomes) - _MAX_LISTED
    rest = f"<p class='quiet'>and {more:,} more</p>" if more > 0 else ""
    common = "".join(
        f"<li>{count:,} &times; {_text(reason)}</li>" for reason, count in reasons.most_common(5) if count > 3
    )
    often = f"<ul class='quiet'>{common}</ul>" if common else ""
    return f"<section><h2>{heading}</h2>{often}<table>{rows}</table>{rest}</section>"


def _gallery(cards: Sequence[Card], written: int) -> str:
    if not cards:
        return ""
    which = f"{len(cards):,} of {written:,}, evenly spread" if len(cards) < written else "all of them"
    return (
        f"<section><h2>Photos</h2><p class='quiet'>Protected on the left ({which}); on the right what was "
        "added: gray is no change, white the largest step up, black the largest down.</p>"
        f"<div class='cards'>{''.join(map(_figure, cards))}</div></section>"
    )


def _figure(card: Card) -> str:
    outcome = card.outcome
    name = _text((outcome.target or outcome.source).name)
    change = (
        f'<img src="{card.change}" alt="what was added to it" loading="lazy">'
        if card.change
        else '<span class="gone">its original is not there any more</span>'
    )
    words = [f"{outcome.width} &times; {outcome.height}"] if outcome.width else []
    if card.psnr_db is not None and math.isfinite(card.psnr_db):
        words.append(f"{card.psnr_db:.1f} dB")
    words += [_text(outcome.reason)] if outcome.reason else []
    photo = f'<img src="{card.protected}" alt="{name}, protected" loading="lazy">'
    caption = f'{name}<br><span class="quiet">{" · ".join(words)}</span>'
    return f'<figure><div class="pair">{photo}{change}</div><figcaption>{caption}</figcaption></figure>'


def _path(path: Path) -> str:
    return _text(str(path))


def _text(words: str) -> str:
    return escape(shown(words))
