"""How plainly the eye sees a change, at the size in which a screen shows a photo."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import MissingExtra, install_extra

SCREEN_SIDE = 1080
"""Longest side of a picture as a screen shows it, in pixels."""


def installed() -> bool:
    """Return whether the package that measures SSIMULACRA2 is there."""
    return find_spec("ssimulacra2") is not None


def ssimulacra2(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Measure SSIMULACRA2: 100 for no change, 90 not seen, 70 a good JPEG, 50 medium, below 0 distorted.

    Args:
        before: (H, W, 3) RGB, levels.
        after: The same picture changed, of the same shape.

    Returns:
        At most 100; of the pictures shrunk to a long side of `SCREEN_SIDE` pixels, where they are larger.

    Raises:
        MissingExtra: The package is not installed.
        ValueError: The pictures differ in shape.
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of {before.shape} and {after.shape} can't be compared")
    try:
        package = import_module("ssimulacra2")
    except ImportError as error:
        raise MissingExtra(f"this needs {error.name}: {install_extra('measure')}") from error
    return float(package.compute_ssimulacra2(_file(before), _file(after)))


def _file(pixels: NDArray[np.uint8]) -> BytesIO:
    """Return a picture at the size of the screen as the file that the package wants."""
    image = Image.fromarray(pixels)
    scale = SCREEN_SIDE / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "PPM")
    file.seek(0)
    return file
