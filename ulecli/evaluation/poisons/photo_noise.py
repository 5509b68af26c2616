"""Random noise on photos, stored as `ulecli protect` stores its perturbation: the control of photo mode.

A perturbation of photos is drawn on a small grid, interpolated to full size, added, rounded, encoded, perhaps
uploaded, and squeezed by the exploiter; each of these steps changes it. Noise that is to be compared with it
takes every one of the steps, by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ulecli.evaluation.poisons.content import chunks
from ulecli.evaluation.poisons.stored_photos import Progress, StoredPhotos, generator, store_with

HIGHEST = 127.0
"""Levels: the largest amplitude that a delta of 8 bits can hold."""

TOLERANCE = 0.02
"""How far the mean change of noise may be from the one it is fitted to, as a share of that."""

_SAMPLE = 200
"""Photos, evenly spaced, that an amplitude is sought on before all are made."""

_CLOSE = 0.003
"""Where the search on the sample ends, as a share of the mean change."""

_TRIES = 8
"""Amplitudes that are tried on the sample at most; the secant method needs three or four."""


@dataclass(frozen=True)
class NoisyPhotos(StoredPhotos):
    """How noise is put on the photos of a tree, and how an exploiter then gets them.

    Attributes:
        grid: Side S of the grid that noise is drawn on, in cells: that of the surrogate.
    """

    grid: int

    def read(self, chosen: Tensor, amplitude: float, progress: Progress | None = None) -> Tensor:
        """Return photos with random signs at plus and minus an amplitude, tied across RGB.

        The signs of a photo depend on its path within the tree alone: not on the other photos, not on the
        amplitude.

        Args:
            chosen: (n,) int64, the places of the photos in the order of `list_pictures`.
            amplitude: Levels, 0 to `HIGHEST`. Between two whole levels, cells drawn at random get the higher
                one, so that the mean over all cells is the amplitude.
            progress: Reports the photos that are done.

        Returns:
            (n, 3, size, size) uint8.

        Raises:
            UleError: A photo can't be read or stored.
        """

        def store(path: Path, part: Path) -> Path:
            return store_with(path, random_signs(self.name(path), self.grid, amplitude), part)

        return self.stored(chosen, store, progress)


def random_signs(name: str, grid: int, amplitude: float) -> NDArray[np.int8]:
    """Return the noise of one photo: (1, grid, grid) levels, each at plus or minus the amplitude.

    Args:
        name: Decides the signs.
        grid: Side in cells.
        amplitude: Mean absolute value, 0 to `HIGHEST`; see `NoisyPhotos.read`.
    """
    rng = generator(name)
    signs = 2 * rng.integers(0, 2, (1, grid, grid), np.int8) - 1
    whole = math.floor(amplitude)
    return signs * (whole + (rng.random(signs.shape) < amplitude - whole)).astype(np.int8)


def mean_change(images: Tensor, clean: Tensor) -> float:
    """Return the mean absolute difference, in levels, of two sets (n, 3, H, W) uint8 with n of 1 or more."""
    total = 0
    for part in chunks(len(clean), clean[0].numel()):
        total += int((images[part].to(torch.int16) - clean[part]).abs().sum(dtype=torch.int64))
    return total / clean.numel()


def fitted_noise(
    photos: NoisyPhotos,
    chosen: Tensor,
    clean: Tensor,
    target: float,
    known: tuple[float, float],
    progress: Progress | None = None,
) -> tuple[Tensor, float]:
    """Return photos whose noise changes them as much on average as something else does.

    The amplitude is sought on some of the photos, then all are made; where their mean is further than
    `TOLERANCE` from the target, the search is corrected by what was measured and repeated once.

    Args:
        photos: How noise is put on photos.
        chosen: (n,) the places of those that get noise.
        clean: (n, 3, size, size) uint8, the same photos without noise as the exploiter gets them.
        target: Mean absolute change that is wanted, in levels.
        known: An amplitude above 0, and the mean absolute change of all `chosen` photos by it, which was
            measured already.
        progress: Reports the photos that are done, of those made to be kept.

    Returns:
        (n, 3, size, size) uint8, and the amplitude in levels. It may be larger than any bound that the other
        change keeps: signs drawn independently lose more than a smooth pattern when a photo is squeezed. It
        ends at `HIGHEST`, and at 0 where storing alone changes the photos more than the target.
    """
    some = torch.linspace(0, len(chosen) - 1, min(len(chosen), _SAMPLE), dtype=torch.float64).long()
    amplitude, measured = known

    @cache
    def sampled(amplitude: float) -> float:
        return mean_change(photos.read(chosen[some], amplitude), clean[some])

    for _ in range(2):
        # The sample's mean differs from that of all by a factor that hardly depends on the amplitude.
        wanted = target * sampled(amplitude) / measured
        amplitude = solve(sampled, wanted, start=amplitude)
        images = photos.read(chosen, amplitude, progress)
        measured = mean_change(images, clean)
        if abs(measured - target) <= TOLERANCE * target or len(some) == len(chosen):
            break
    return images, amplitude


def solve(response: Callable[[float], float], wanted: float, *, start: float) -> float:
    """Return the amplitude from 0 to `HIGHEST` at which a rising response is what is wanted.

    Regula falsi with the secant's guess; ends within `_CLOSE` of it, at a bound, or after `_TRIES`.

    Args:
        response: Mean change in levels at an amplitude; rises.
        wanted: Mean change.
        start: First guess, above 0.
    """
    points: list[tuple[float, float]] = []
    guess = start
    for _ in range(_TRIES):
        points.append((guess, response(guess)))
        if abs(points[-1][1] - wanted) <= _CLOSE * wanted:
            break
        below = max((point for point in points if point[1] < wanted), default=None)
        above = min((point for point in points if point[1] >= wanted), default=None)
        following = _between(below, above, wanted)
        if following in [amplitude for amplitude, _ in points]:
            break
        guess = following
    return min(points, key=lambda point: abs(point[1] - wanted))[0]


def _between(below: tuple[float, float] | None, above: tuple[float, float] | None, wanted: float) -> float:
    """Return where the response is expected to be `wanted`, from a point at either side or from one alone."""
    if below and above:
        share = (wanted - below[1]) / max(above[1] - below[1], 1e-9)
        return below[0] + min(max(share, 0.02), 0.98) * (above[0] - below[0])
    amplitude, response = below or above or (1.0, 1.0)
    expected = amplitude * wanted / max(response, 1e-9)
    # One side alone: a little beyond what a proportional response asks for, to have the other side too.
    expected = expected * 1.02 + 0.05 if below else expected * 0.98 - 0.05
    return float(min(max(expected, 0.0), HIGHEST))
