"""How much of a change an eye sees: SSIMULACRA2 and FLIP of two pictures at the size a screen shows.

PSNR counts every level the same wherever it is. These two count what people see: a faint pattern on a wall
or a sky costs much, the same one in leaves little. Both come from packages of the extra `measure`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import MissingExtra, install_extra
from ulecli.units import LEVELS

SCREEN_SIDE = 1080
"""Longest side of a picture as a screen shows it, in pixels: both measures are of pictures shrunk to it."""

PIXELS_PER_DEGREE = 67.0
"""Of visual angle: a 4K screen of 0.7 m width seen from 0.7 m, the condition that FLIP's authors assume."""

EXTRA = "measure"

_PACKAGES = ("ssimulacra2", "flip_evaluator")
_LEAST_SIDE = 8
"""Pixels; the package would call any two smaller pictures equal."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Visibility:
    """How visible the change from one picture to another is.

    Attributes:
        ssimulacra2: 100 for equal pictures, about 90 if the change is not seen, 70 as a good JPEG, 50 as a
            medium one, below 0 where it is gross; no lower bound.
        flip: Mean over the pixels: 0 for equal pictures, at most 1.
    """

    ssimulacra2: float
    flip: float

    @property
    def possible(self) -> bool:
        """Whether the measures can have these values."""
        return -math.inf < self.ssimulacra2 <= 100 and 0 <= self.flip <= 1


def installed() -> bool:
    """Return whether the packages of the extra are there."""
    return all(map(find_spec, _PACKAGES))


def to_be_measured(asked: bool | None) -> bool:
    """Return whether to measure visibility: as asked, or, if nobody says, where the packages are there.

    Raises:
        MissingExtra: It was asked for, and a package is not installed.
    """
    if asked and not installed():
        raise _missing(next(name for name in _PACKAGES if not find_spec(name)))
    return installed() if asked is None else asked


def not_measured() -> str:
    """Return the line for a user without the extra."""
    return f"SSIMULACRA2 and FLIP are not measured; {install_extra(EXTRA)} brings them"


def visibility(before: Pixels, after: Pixels) -> Visibility:
    """Measure both; see `ssimulacra2` and `flip`."""
    return Visibility(ssimulacra2(before, after), flip(before, after))


def ssimulacra2(before: Pixels, after: Pixels) -> float:
    """Return SSIMULACRA2 of a picture against its original.

    J. Sneyers, 'SSIMULACRA 2' (2022, github.com/cloudinary/ssimulacra2), fitted to opinions of people on
    compressed photos. Of a picture that is narrower than 8 pixels, edge pixels are repeated.

    Args:
        before: (H, W, 3) uint8, sRGB; the original.
        after: The same shape.

    Returns:
        At most 100; see `Visibility`.

    Raises:
        MissingExtra: The package is not installed.
        ValueError: These are not two RGB pictures of one size.
    """
    _check(before, after)
    return float(_package("ssimulacra2").compute_ssimulacra2(_as_file(before), _as_file(after)))


def flip(before: Pixels, after: Pixels) -> float:
    """Return the mean FLIP of a picture against its original, at 67 pixels per degree.

    P. Andersson et al., 'FLIP: A Difference Evaluator for Alternating Images' (2020): what is seen when one
    picture replaces the other in the same place.

    Args:
        before: (H, W, 3) uint8, sRGB; the original.
        after: The same shape.

    Returns:
        0 for equal pictures, at most 1.

    Raises:
        MissingExtra: The package is not installed.
        ValueError: These are not two RGB pictures of one size.
    """
    _check(before, after)
    pictures = (np.ascontiguousarray(picture / np.float32(LEVELS)) for picture in (before, after))
    settings = {"applyMagma": False, "parameters": {"ppd": PIXELS_PER_DEGREE}}
    _, mean, _ = _package("flip_evaluator").evaluate(*pictures, "LDR", **settings)
    return float(mean)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise _missing(name) from error


def _missing(name: str) -> MissingExtra:
    return MissingExtra(f"measuring SSIMULACRA2 and FLIP needs {name}: {install_extra(EXTRA)}")


def _check(before: Pixels, after: Pixels) -> None:
    # The packages don't: one broadcasts, the other reads beyond the smaller picture.
    for picture in (before, after):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"is no RGB picture: {picture.dtype} of shape {picture.shape}")
    if before.shape != after.shape:
        raise ValueError(f"are pictures of two sizes: {before.shape[:2]} and {after.shape[:2]}")


def _as_file(picture: Pixels) -> BytesIO:
    """Return a picture as a file in memory, which is what the package of SSIMULACRA2 takes."""
    margins = [(0, max(0, _LEAST_SIDE - side)) for side in picture.shape[:2]]
    file = BytesIO()
    Image.fromarray(np.pad(picture, [*margins, (0, 0)], mode="edge")).save(file, "PPM")
    file.seek(0)
    return file
