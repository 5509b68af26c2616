"""Random noise on photos, stored as `ulecli protect` stores its perturbation: the control of photo mode.

A perturbation of photos is drawn on a small grid, interpolated to full size, added, rounded, encoded, perhaps
uploaded, and squeezed by the exploiter; each of these steps changes it. Noise that is to be compared with it
takes every one of the steps, by the same code.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ulecli.data.folder import list_pictures, read_pictures
from ulecli.errors import PhotoError, PhotoSkipped, UleError, shown
from ulecli.evaluation.poisons.content import chunks
from ulecli.formats.picture import decode, encode
from ulecli.formats.registry import HEAD, SUFFIXES, sniff
from ulecli.imaging.delta import add_delta
from ulecli.imaging.upload import Upload

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

Progress = Callable[[int, int], None]
"""Called with the number of photos done and of all."""


@dataclass(frozen=True)
class NoisyPhotos:
    """How noise is put on the photos of a tree, and how an exploiter then gets them.

    Attributes:
        tree: The clean photos, one folder for each class.
        grid: Side S of the grid that noise is drawn on, in cells: that of the surrogate.
        upload: What a platform does to each file.
        size: Side in pixels of the square that an exploiter squeezes photos to.
        jobs: Photos in work at the same time.
    """

    tree: Path
    grid: int
    upload: Upload
    size: int
    jobs: int

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

    def stored(
        self, chosen: Tensor, store: Callable[[Path, Path], Path], progress: Progress | None = None
    ) -> Tensor:
        """Return photos as an exploiter gets them once they were changed and stored.

        Args:
            chosen: (n,) int64, the places of the photos in the order of `list_pictures`.
            store: Writes a photo anew: from the photo, and what the new file is called without its ending,
                to the new file. Called from several threads.
            progress: Reports the photos that are done.

        Returns:
            (n, 3, size, size) uint8.

        Raises:
            UleError: A photo can't be read or stored.
        """
        paths = [path for members in list_pictures(self.tree).values() for path in members]
        some = [paths[place] for place in chosen.tolist()]
        images = torch.empty(len(some), 3, self.size, self.size, dtype=torch.uint8)
        arrive = None if self.upload == Upload() else self.upload
        with tempfile.TemporaryDirectory(prefix="ulecli-") as folder, ThreadPoolExecutor(self.jobs) as pool:

            def make(number: int) -> None:
                file = store(some[number], Path(folder) / f"{number}")
                try:
                    images[number] = read_pictures({"": [file]}, self.size, arrive=arrive, jobs=1).images[0]
                finally:
                    file.unlink()

            for done, _ in enumerate(pool.map(make, range(len(some))), 1):
                if progress is not None:
                    progress(done, len(some))
        return images

    def name(self, path: Path) -> str:
        """Return what a photo is called in the tree, which decides its noise."""
        return path.relative_to(self.tree).as_posix()


def generator(name: str) -> np.random.Generator:
    """Return the source of the random numbers of one photo, which its name alone decides."""
    return np.random.default_rng(list(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()))


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


def store_with(path: Path, delta: NDArray[np.int8], part: Path) -> Path:
    """Store a photo with a delta added, in its own format and as finely as `ulecli protect` would.

    Args:
        path: The photo.
        delta: (1 or 3, S, S) levels, or of any other height and width.
        part: What the new file is called, without its ending.

    Returns:
        The new file.

    Raises:
        UleError: The photo can't be read, or not be stored in its format.
    """
    try:
        with path.open("rb") as file:
            format = sniff(file.read(HEAD))
        if format not in SUFFIXES:
            raise PhotoSkipped("is of no format that `ulecli protect` writes")
        picture = decode(path, format, first_frame=True)
        add_delta(picture.image, delta, picture.pixels)
        stored = part.with_suffix(SUFFIXES[format][0])
        encode(picture, picture.image, stored)
    except (PhotoError, PhotoSkipped) as error:
        raise UleError(f"noise can't be put on {shown(path)}, which {error}; leave it out") from error
    except OSError as error:
        raise UleError(
            f"noise can't be put on {shown(path)}: {error.strerror or error}; see to the file, or to the "
            f"room in {shown(part.parent)}"
        ) from error
    return stored


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
