"""Noise of one band of frequencies, as plain to the eye as a protection: the control that it has to beat.

Another draw for each photo, weighed by the amplitude map of the perturbation, stored as `ulecli protect`
stores, and scaled until it is as plain to see in the stored file as the perturbation is in the protected one,
by SSIMULACRA2 at the size of a screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ulecli.data.folder import read_picture
from ulecli.errors import PhotoError, PhotoSkipped, UleError, shown
from ulecli.evaluation.poisons.photo_noise import HIGHEST
from ulecli.evaluation.poisons.stored_photos import Progress, StoredPhotos, generator, store_with
from ulecli.imaging.texture import Floats, texture_weights
from ulecli.imaging.visibility import SCREEN_SIDE, ssimulacra2

CLOSE = 0.5
"""Points of SSIMULACRA2 from the wanted ones at which the search for an amplitude ends."""

_START = 4.0
"""Levels: the first amplitude that is tried; it is doubled until the noise is seen as plainly as wanted."""

_LARGEST = 64.0
"""Levels: where the doubling ends."""

_TRIES = 12
"""Amplitudes that are tried for a photo at most."""

_CELLS_A_CYCLE = 4
"""Samples that a cycle is drawn by, at least, where the photo has as many pixels."""


@dataclass(frozen=True)
class Band:
    """Frequencies in cycles per shorter side of a photo, both ends included."""

    low: int
    high: int

    @property
    def name(self) -> str:
        """What the control is called in tables."""
        return f"band-{self.low}-{self.high}"


BANDS = (Band(10, 30), Band(24, 56))
"""Those that controls are made of: their names are in `ulecli.evaluation.results.record.BANDS`."""


@dataclass(frozen=True)
class Fitted:
    """What the search found for one photo.

    Attributes:
        amplitude: Root mean square of the noise in levels, before the amplitude map.
        noise: SSIMULACRA2 of the stored photo with noise.
        protected: SSIMULACRA2 of the protected photo, which was wanted.
    """

    amplitude: float
    noise: float
    protected: float


@dataclass(frozen=True)
class BandNoise:
    """How band noise is put on the photos of a tree.

    Attributes:
        photos: Where the photos are, and how an exploiter gets them.
        band: The frequencies of the noise.
        weights: The amplitude map: from a picture to weights (T, T), 0 to 1.
    """

    photos: StoredPhotos
    band: Band
    weights: Callable[[Image.Image], Floats] = texture_weights

    def read(
        self, chosen: Tensor, wanted: Mapping[Path, float], progress: Progress | None = None
    ) -> tuple[Tensor, tuple[Fitted, ...]]:
        """Return photos with noise that the eye sees as plainly as something else.

        Args:
            chosen: (n,) int64, the places of the photos in the order of `list_pictures`.
            wanted: SSIMULACRA2 that each of the photos shall have, by its path.
            progress: Reports the photos that are done.

        Returns:
            (n, 3, size, size) uint8, and what was found for each photo, in the order of paths.

        Raises:
            UleError: A photo can't be read or stored, or is too small for the band.
            MissingExtra: SSIMULACRA2 can't be measured.
        """
        found: dict[Path, Fitted] = {}

        def store(path: Path, part: Path) -> Path:
            file, found[path] = self.fitted(path, wanted[path], part)
            return file

        images = self.photos.stored(chosen, store, progress)
        return images, tuple(found[path] for path in sorted(found))

    def fitted(self, path: Path, wanted: float, part: Path) -> tuple[Path, Fitted]:
        """Store one photo with noise of the amplitude at which its SSIMULACRA2 is nearest to a wanted one.

        Args:
            path: The photo.
            wanted: SSIMULACRA2 of the stored file.
            part: What the new file is called, without its ending.

        Returns:
            The new file, and what was found.

        Raises:
            UleError: The photo can't be read or stored, or is too small for the band.
        """
        before = opened(path)
        field = band_field(f"{self.band.name} {self.photos.name(path)}", before.size, self.band)
        if field is None:
            raise UleError(
                f"{shown(path)} is {before.width} x {before.height} pixels, too small for noise of "
                f"{self.band.low} cycles and more: take larger photos"
            )
        field *= _stretched(self.weights(before), before.size)
        shown_before = on_screen(before)

        def stored(amplitude: float) -> Path:
            levels = np.rint(field * amplitude).clip(-HIGHEST, HIGHEST).astype(np.int8)
            return store_with(path, levels[None], part)

        def seen(amplitude: float) -> float:
            file = stored(amplitude)
            try:
                return ssimulacra2(shown_before, on_screen(opened(file)))
            finally:
                file.unlink()

        amplitude, noise = search(seen, wanted)
        return stored(amplitude), Fitted(amplitude, noise, wanted)


def band_field(name: str, size: tuple[int, int], band: Band) -> Floats | None:
    """Return Gaussian noise whose spectrum is flat within a band and empty outside.

    Args:
        name: Decides the noise.
        size: Width and height of the photo.
        band: Of frequencies.

    Returns:
        (H, W) with a root mean square of 1; None if so few pixels hold no such frequency.
    """
    scale = min(1.0, _CELLS_A_CYCLE * band.high / min(size))
    width, height = (max(1, round(side * scale)) for side in size)
    shorter = min(width, height)
    rows, columns = np.fft.fftfreq(height) * shorter, np.fft.rfftfreq(width) * shorter
    cycles = np.hypot(rows[:, None], columns[None])
    inside = (cycles >= band.low) & (cycles <= band.high)
    spectrum = np.fft.rfft2(generator(name).standard_normal((height, width)))
    field = np.fft.irfft2(spectrum * inside, (height, width)).astype(np.float32)
    spread = float(np.sqrt(np.mean(np.square(field, dtype=np.float64))))
    if not spread:
        return None
    return _stretched(field / np.float32(spread), size)


def search(seen: Callable[[float], float], wanted: float) -> tuple[float, float]:
    """Find the amplitude at which a falling score is what is wanted, by false position.

    Args:
        seen: SSIMULACRA2 at an amplitude in levels.
        wanted: The score.

    Returns:
        The best amplitude that was tried, and its score: within `CLOSE` of the wanted one, unless the score
        of amplitude 0 is lower or that of `_LARGEST` higher.
    """
    tried: dict[float, float] = {}
    low, high, guess = 0.0, math.inf, _START
    for _ in range(_TRIES):
        tried[guess] = seen(guess)
        if abs(tried[guess] - wanted) <= CLOSE or (tried[guess] > wanted and guess >= _LARGEST):
            break
        low, high = (low, guess) if tried[guess] < wanted else (guess, high)
        if high == math.inf:
            guess = 2 * low
        elif low in tried:  # a straight line through both ends, but never so near to one that it creeps
            share = (tried[low] - wanted) / (tried[low] - tried[high])
            guess = low + min(max(share, 0.1), 0.9) * (high - low)
        else:
            guess = high / 2
    return min(tried.items(), key=lambda one: abs(one[1] - wanted))


def difference(path: Path, original: Path) -> float:
    """Return the SSIMULACRA2 of a photo against its original, at the size of a screen.

    Raises:
        UleError: One can't be read, or they differ in size.
        MissingExtra: SSIMULACRA2 can't be measured.
    """
    after, before = opened(path), opened(original)
    if after.size != before.size:
        raise UleError(
            f"{shown(path)} is {after.width} x {after.height} pixels and its original {before.width} x "
            f"{before.height}, so how plainly the change is seen can't be measured: protect the folder anew"
        )
    return ssimulacra2(on_screen(before), on_screen(after))


def on_screen(image: Image.Image) -> NDArray[np.uint8]:
    """Return (H, W, 3): a picture shrunk to the size of a screen, where it is larger."""
    smaller = image.copy()
    smaller.thumbnail((SCREEN_SIDE, SCREEN_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(smaller)


def opened(path: Path) -> Image.Image:
    """Return a photo as a viewer shows it.

    Raises:
        UleError: It can't be read.
    """
    try:
        return read_picture(path).convert("RGB")
    except (OSError, PhotoError, PhotoSkipped) as error:
        raise UleError(f"{shown(path)} can't be measured ({error}); leave it out") from error


def _stretched(plane: Floats, size: tuple[int, int]) -> Floats:
    """Interpolate (h, w) to the (H, W) of a photo of this width and height."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    stretched: NDArray[np.float32] = np.array(image.resize(size, Image.Resampling.BICUBIC), np.float32)
    return stretched
