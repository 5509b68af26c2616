"""What levels of RGB mean as light, and pictures of unusual tones brought to sRGB with 16 bits of precision.

The bound on a perturbation counts stored levels. With tones like those of sRGB they are the shown ones, too.
With linear light, a step of 8 in the dark is one of 59 on the screen, so such pictures are brought to sRGB
before anything is added.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ulecli.units import LEVELS

MOST_SHOWN = 12
"""Levels of sRGB that a step of `STEP` stored ones may show as. Under the curve of Adobe
RGB it is 9 at most, of L* 11, of a gamma of 1.8 already 13, of BT.709 20."""

STEP = 8
_DEEP = 65535
_BAND = 1 << 20
"""Pixels."""

D50 = (0.9642, 1.0, 0.8249)
"""White of the space that profiles connect through (ICC.1, 7.2.16), XYZ."""

D65 = (0.3127, 0.3290)
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Chromaticities = Sequence[tuple[float, float]]
Curve = NDArray[np.float64]
"""(65536,) light from 0 to 1 for each level of 16 bits."""


@dataclass(frozen=True)
class Space:
    """What the levels of RGB mean.

    Attributes:
        curves: Light for the levels of R, G and B.
        to_xyz: (3, 3) from linear RGB to XYZ under D50.
    """

    curves: tuple[Curve, Curve, Curve]
    to_xyz: NDArray[np.float64]

    def unlike_srgb(self) -> bool:
        """Return whether a change of the levels is shown as a much larger one."""
        return any(shown_step(curve) > MOST_SHOWN for curve in self.curves)


def shown_step(curve: Curve) -> float:
    """Return the largest step, in levels of sRGB, that `STEP` stored levels show as."""
    shown = LEVELS * encoded(curve[:: _DEEP // LEVELS])
    return float(abs(shown[STEP:] - shown[:-STEP]).max())


def encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit levels of sRGB for light from 0 to 1 (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@cache
def gamma(exponent: float) -> Curve:
    """Return the curve of a power function."""
    return np.asarray(np.linspace(0, 1, _DEEP + 1) ** exponent, np.float64)


@cache
def srgb_curve() -> Curve:
    """Return the curve of sRGB."""
    levels = np.linspace(0, 1, _DEEP + 1)
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def space_of(curve: Curve, primaries: Chromaticities, white: tuple[float, float]) -> Space:
    """Return a space by its curve and the x, y chromaticities of its primaries and its white."""
    columns = np.stack([_xyz(one) for one in primaries], axis=1)
    return Space((curve,) * 3, adaptation(white) @ (columns * np.linalg.solve(columns, _xyz(white))))


def adaptation(white: tuple[float, float]) -> NDArray[np.float64]:
    """Return the matrix of the Bradford transform from XYZ under `white` to XYZ under D50."""
    cones = _BRADFORD @ _xyz(white)
    scaled = np.diag(_BRADFORD @ np.array(D50) / cones)
    return np.asarray(np.linalg.inv(_BRADFORD) @ scaled @ _BRADFORD, np.float64)


def profile_space(profile: bytes) -> Space | None:
    """Return what an ICC profile of curves and a matrix means; None for one of tables, or a damaged one."""
    tags = _tags(profile)
    if b"A2B0" in tags or profile[20:24] != b"XYZ ":
        return None
    try:
        red, green, blue = (_curve(tags[kind + b"TRC"]) for kind in (b"r", b"g", b"b"))
        columns = [struct.unpack(">3l", tags[kind + b"XYZ"][8:20]) for kind in (b"r", b"g", b"b")]
    except (KeyError, ValueError, struct.error):
        return None
    return Space((red, green, blue), np.array(columns).T / 65536)


def gray_curve(profile: bytes) -> Curve | None:
    """Return the curve of an ICC profile of gray; None if it has none that can be read."""
    try:
        return _curve(_tags(profile)[b"kTRC"]) if profile[16:24] == b"GRAYXYZ " else None
    except (KeyError, ValueError, struct.error):
        return None


def to_srgb(pixels: NDArray[np.uint8] | NDArray[np.uint16], space: Space) -> NDArray[np.uint8]:
    """Return (H, W, 3) pixels of 8 or 16 bits per channel in sRGB; colours beyond it are clipped."""
    height, width = pixels.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    pick = slice(None) if pixels.dtype == np.uint16 else slice(None, None, _DEEP // LEVELS)
    light = [curve[pick].astype(np.float32) for curve in space.curves]
    matrix = (np.linalg.inv(_srgb().to_xyz) @ space.to_xyz).astype(np.float32)
    levels = np.rint(LEVELS * encoded(np.linspace(0, 1, _DEEP + 1))).astype(np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = pixels[top : top + rows]
        linear = np.stack([table[band[..., n]] for n, table in enumerate(light)], -1) @ matrix.T
        result[top : top + rows] = levels[np.rint(linear.clip(0, 1) * _DEEP).astype(np.uint16)]
    return result


def gray_to_srgb(levels: int, curve: Curve) -> NDArray[np.uint8]:
    """Return for each of 256 or 65536 gray levels the one that looks the same in sRGB."""
    return np.rint(LEVELS * encoded(curve[:: _DEEP // (levels - 1)])).astype(np.uint8)


@cache
def _srgb() -> Space:
    return space_of(srgb_curve(), BT709, D65)


def _xyz(chromaticity: tuple[float, float]) -> NDArray[np.float64]:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the tags of a profile (ICC.1:2010, 7.3); those that lie beyond its end are cut."""
    found = {}
    for place in range(132, min(132 + 12 * int.from_bytes(profile[128:132], "big"), len(profile) - 11), 12):
        start, length = struct.unpack_from(">LL", profile, place + 4)
        found[profile[place : place + 4]] = profile[start : start + length]
    return found


def _curve(tag: bytes) -> Curve:
    """Evaluate a tone curve (ICC.1:2010, 10.5 and 10.15).

    Raises:
        ValueError: It is of another kind.
        struct.error: It is cut short.
    """
    levels = np.linspace(0, 1, _DEEP + 1)
    kind, count = tag[:4], struct.unpack_from(">L", tag, 8)[0]
    if kind == b"curv" and count == 0:
        return levels
    if kind == b"curv" and count == 1:
        return gamma(struct.unpack_from(">H", tag, 12)[0] / 256)
    if kind == b"curv":
        points = np.array(struct.unpack_from(f">{count}H", tag, 12)) / _DEEP
        return np.interp(levels, np.linspace(0, 1, count), points)
    function = count >> 16
    if kind != b"para" or function > 4:
        raise ValueError("no tone curve")
    g, *rest = (number / 65536 for number in struct.unpack_from(f">{(1, 3, 4, 5, 7)[function]}l", tag, 12))
    a, b, c, d, e, f = _parameters(function, rest)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        power = np.maximum(a * levels + b, 0) ** g + e
        light = np.where(levels >= d, power, c * levels + f)
    if not np.isfinite(light).all():
        raise ValueError("no tone curve")
    return np.asarray(light.clip(0, 1), np.float64)


def _parameters(function: int, rest: list[float]) -> tuple[float, float, float, float, float, float]:
    """Return a to f of the fullest of the five functions: (a x + b)^g + e from d on, c x + f below."""
    if function == 0:
        return 1, 0, 0, 0, 0, 0
    a, b, *more = rest
    if function in (1, 2):
        floor = more[0] if more else 0.0
        return a, b, 0, -b / a if a else 0, floor, floor
    c, d, *last = more
    e, f = last or (0.0, 0.0)
    return a, b, c, d, e, f
