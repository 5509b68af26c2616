"""A histogram as a drawing that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 640, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 16, 52
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_MAX_BARS = 24


def bins(values: Sequence[float]) -> tuple[float, list[int], float]:
    """Count values into bins of a round width.

    Returns:
        Where the first bin starts, how many values are in each, and how wide they are.
    """
    span = max(values) - min(values)
    width = next((step for step in _STEPS if span / step < _MAX_BARS), _STEPS[-1])
    places = [math.floor(value / width + 1e-9) for value in values]  # 31.9 is not below 319 * 0.1
    first = min(places)
    counts = [0] * (max(places) - first + 1)
    for place in places:
        counts[place - first] += 1
    return first * width, counts, width


def histogram(values: Sequence[float], unit: str, label: str) -> str:
    """Draw a histogram as SVG.

    Args:
        values: At least one, all finite.
        unit: Of the values, written at the axis.
        label: What it shows, for readers who don't see it.
    """
    start, counts, width = bins(values)
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    bar = inner_width / len(counts)
    base, highest = HEIGHT - _BOTTOM, max(counts)
    parts = []
    for number, count in enumerate(counts):
        height = inner_height * count / highest
        low = start + number * width
        parts.append(
            f'<rect class="bar" x="{_LEFT + number * bar + 1:.1f}" y="{base - height:.1f}" '
            f'width="{max(1.0, bar - 2):.1f}" height="{height:.1f}"><title>{low:.1f} to '
            f"{low + width:.1f} {unit}: {count}</title></rect>"
        )
    every = math.ceil(len(counts) / 8)
    for number in range(0, len(counts) + 1, every):
        place = _LEFT + number * bar
        tick = f"{start + number * width:.1f}".removesuffix(".0")
        parts.append(f'<text x="{place:.1f}" y="{base + 20}" text-anchor="middle">{tick}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{WIDTH - _RIGHT}" y2="{base}"/>')
    parts.append(f'<text x="{_LEFT - 6}" y="{_TOP + 5}" text-anchor="end">{highest}</text>')
    parts.append(f'<text x="{_LEFT - 6}" y="{base + 4}" text-anchor="end">0</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{unit}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
