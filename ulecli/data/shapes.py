"""Drawn shapes in ten classes: for tests and a one-minute look without any data, never for claims."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ulecli.data.images import ImageSet
from ulecli.units import LUMA

SIDE = 32
"""Of the pictures, in pixels."""

CLASSES = (
    "disc",
    "square",
    "triangle",
    "ring",
    "cross",
    "stripes across",
    "stripes down",
    "stripes aslant",
    "checkers",
    "dots",
)

_SOLID = 5
"""Classes before this one keep their shape at any angle; those after it differ in direction."""

_LUMA = np.array(LUMA, np.float32)

_Floats = NDArray[np.float32]


def shapes(count: int = 2000, *, seed: int = 0) -> ImageSet:
    """Draw shapes of random place, size, angle and colours on a shaded, noisy ground.

    Shape and ground differ by at least 45 levels of luma, and colour says nothing of the class, so that
    the set is learnable in gray. Arithmetic is that of IEEE 754 throughout (no sine, no normal distribution),
    and so the same seed gives the same bits on every machine.

    Args:
        count: Number of pictures; classes take turns, so any first `10 k` of them are balanced.
        seed: Decides all but the labels; sets of different seeds have no picture in common.

    Returns:
        (count, 3, 32, 32) and the classes `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    cover = _cover(rng, labels)[:, None]
    ground, figure = _colours(rng, count)
    slope = _between(rng, -24, 24, (2, count, 1, 1, 1))
    across = np.linspace(-1, 1, SIDE, dtype=np.float32)
    shade = slope[0] * across + slope[1] * across[:, None]
    noise = _between(rng, -16, 16, (count, 3, SIDE, SIDE))
    levels = ground + (figure - ground) * cover + shade + noise
    pixels = np.floor(np.clip(levels, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)), CLASSES)


def _between(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> _Floats:
    # One kind of draw only: of all methods of a generator, `random` is the least likely ever to change.
    return (low + (high - low) * rng.random(shape)).astype(np.float32)


def _colours(rng: np.random.Generator, count: int) -> tuple[_Floats, _Floats]:
    """Return the colours of ground and figure, (count, 3, 1, 1) in levels, with lumas well apart."""
    luma = _between(rng, 50, 205, (count, 1))
    contrast = _between(rng, 45, 90, (count, 1))
    tints = _between(rng, -45, 45, (2, count, 3))
    # Green takes back what red and blue add to the luma.
    tints[..., 1] = -(tints[..., 0] * _LUMA[0] + tints[..., 2] * _LUMA[2]) / _LUMA[1]
    ground = luma + tints[0]
    figure = luma + np.where(luma < 127.5, contrast, -contrast) + tints[1]
    return ground[..., None, None], figure[..., None, None]


def _cover(rng: np.random.Generator, labels: NDArray[np.int64]) -> _Floats:
    """Return how much of each pixel the figure covers: (N, 32, 32), 0 to 1."""
    shape = len(labels), 1, 1
    solid = (labels < _SOLID)[:, None, None]
    radius = _between(rng, 8, 12, shape)
    place = _between(rng, -1, 1, (2, *shape)) * (SIDE / 2 - radius)
    # The tangent of half the angle gives sine and cosine without calling either.
    half = _between(rng, -1, 1, shape) * np.where(solid, np.float32(1), np.float32(0.1))
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    centred = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = centred - place[0], centred[:, None] - place[1]
    u, v = (cosine * x + sine * y) / radius, (cosine * y - sine * x) / radius
    period = _between(rng, 0.6, 0.8, shape)
    inside = np.empty((len(labels), SIDE, SIDE), np.float32)
    for label in range(len(CLASSES)):
        own = labels == label
        inside[own] = _inside(label, u[own], v[own], period[own])
    cover: _Floats = np.clip(inside * radius + np.float32(0.5), 0, 1)
    return cover


def _inside(label: int, u: _Floats, v: _Floats, period: _Floats) -> _Floats:
    """Return the distance to the figure's edge, positive inside, in radii; `u` and `v` are in radii, too."""
    box = 1 - np.maximum(abs(u), abs(v))
    distance = np.sqrt(u * u + v * v)
    inside: _Floats
    match CLASSES[label]:
        case "disc":
            inside = 1 - distance
        case "square":
            inside = box - np.float32(0.15)
        case "triangle":  # equilateral: the sines and cosines of 60 degrees
            inside = np.float32(0.55) - np.maximum(v, np.float32(0.8660254) * abs(u) - v / 2)
        case "ring":
            inside = np.float32(0.25) - abs(distance - np.float32(0.75))
        case "cross":
            inside = np.minimum(box, np.float32(0.28) - np.minimum(abs(u), abs(v)))
        case "stripes across":
            inside = np.minimum(box, _wave(v, period))
        case "stripes down":
            inside = np.minimum(box, _wave(u, period))
        case "stripes aslant":
            inside = np.minimum(box, _wave((u + v) * np.float32(0.70710678), period))
        case "checkers":
            first, second = _wave(u, 2 * period), _wave(v, 2 * period)
            sign = np.where(first * second > 0, np.float32(1), np.float32(-1))
            inside = np.minimum(box, sign * np.minimum(abs(first), abs(second)))
        case _:
            centre = np.sqrt(_fold(u, period) ** 2 + _fold(v, period) ** 2)
            inside = np.minimum(box, period * np.float32(0.35) - centre)
    return inside


def _fold(along: _Floats, period: _Floats) -> _Floats:
    """Return the distance to the nearest multiple of the period."""
    distance: _Floats = abs(along - period * np.floor(along / period + np.float32(0.5)))
    return distance


def _wave(along: _Floats, period: _Floats) -> _Floats:
    """Return the distance to the edge of stripes that are half a period wide, positive on a stripe."""
    inside: _Floats = period / np.float32(4) - _fold(along, period)
    return inside
