"""What the numbers of a poison mean: whole images or a perturbation, in levels or on the unit scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.units import LEVELS

FAR = 64.0
"""Levels. What would change pixels by more than this on average is no perturbation."""

_UNIT_SLACK = 1e-3
"""How far beyond 1 a value of the unit scale may lie: what half precision and resampling leave behind."""

_FOLLOWS = 0.9
"""A perturbation whose correlation with the clean pixels is higher than this is an image, normalised."""

_COMPARED = 2**22
"""Values of evenly spaced images that are compared with the clean ones to find out what the numbers mean."""

_CHUNK_VALUES = 2**23
"""Values in work at the same time: 32 MiB as float32."""


class PoisonKind(StrEnum):
    """What the numbers of a poison are. `auto` decides by the numbers; every other value is a demand."""

    AUTO = "auto"
    IMAGES = "images"
    PERTURBATION = "perturbation"


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a poison mean.

    Attributes:
        kind: Images or perturbation.
        scale: Levels for each step of 1: 1 for levels, 255 for the unit scale.
    """

    kind: PoisonKind
    scale: int

    def __str__(self) -> str:
        scale = "levels" if self.scale == 1 else "unit scale"
        return f"{self.kind} in {scale}"


def chunks(count: int, values_each: int) -> Iterator[slice]:
    """Cut `count` images of so many values into slices that are small enough to work on as float32."""
    step = max(1, _CHUNK_VALUES // max(1, values_each))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def interpret(values: Tensor, clean: ImageSet, places: Tensor | None, kind: PoisonKind) -> Meaning:
    """Find out what the numbers of a poison mean.

    Integers are levels. Real numbers are on the unit scale if none is beyond 1, else levels. They are a
    perturbation if one of them is negative, and else whichever makes the smaller change: as images that
    replace the clean ones, or added to them. So one-sided perturbations that are stored as uint8 are not
    taken for images.

    Args:
        values: (n, C, H, W) of any real dtype, C of 1 or 3, finite.
        clean: The images that the poison was made for.
        places: (n,) int64, the clean image of each; None where one perturbation is for a whole class.
        kind: What the user says it is; never images where there are no places.

    Raises:
        ValueError: The numbers can be neither, or not what the user says; the message says why.
    """
    low, high = (float(edge) for edge in _extent(values))
    scale = _scale(values, low, high)
    if places is None:
        found = PoisonKind.PERTURBATION
    elif kind is PoisonKind.AUTO:
        found = _likelier(values, clean, places, scale, low)
    else:
        found = kind
    if found is PoisonKind.IMAGES and (low < -_UNIT_SLACK or high * scale > LEVELS * (1 + _UNIT_SLACK)):
        raise ValueError(f"images go from 0 to 255 or 0 to 1, these from {low:g} to {high:g}")
    if found is PoisonKind.PERTURBATION and max(-low, high) * scale > LEVELS * (1 + _UNIT_SLACK):
        raise ValueError(f"a perturbation lies within -255 to 255, this goes from {low:g} to {high:g}")
    return Meaning(found, scale)


def scale_of(values: Tensor) -> tuple[float, int]:
    """Return the lowest value, 0 for what rounding leaves below it, and the levels for each step of 1."""
    low, high = (float(edge) for edge in _extent(values))
    return (0.0 if -_UNIT_SLACK <= low < 0 else low), _scale(values, low, high)


def _scale(values: Tensor, low: float, high: float) -> int:
    within = max(-low, high) <= 1 + _UNIT_SLACK
    return LEVELS if values.is_floating_point() and within else 1


def _extent(values: Tensor) -> tuple[Tensor, Tensor]:
    ends = [values[part].float().aminmax() for part in chunks(len(values), values[0].numel())]
    return torch.stack([one.min for one in ends]).min(), torch.stack([one.max for one in ends]).max()


def _likelier(values: Tensor, clean: ImageSet, places: Tensor, scale: int, low: float) -> PoisonKind:
    count = min(len(values), max(1, _COMPARED // clean.images[0].numel()))
    some = torch.linspace(0, len(values) - 1, count, dtype=torch.float64).long()
    numbers = values[some].float() * scale
    originals = clean.images[places[some]].float()
    added = float(numbers.abs().mean())
    if low >= -_UNIT_SLACK:
        replaced = float((numbers - originals).abs().mean())
        return PoisonKind.IMAGES if replaced <= added else PoisonKind.PERTURBATION
    pairs = torch.stack([numbers.expand_as(originals).flatten(), originals.flatten()])
    if added > FAR or (numbers.std() > 0 and originals.std() > 0 and torch.corrcoef(pairs)[0, 1] > _FOLLOWS):
        raise ValueError(
            f"with values from {low:g} they look like normalised images; store images as 0 to 255 or 0 to 1, "
            "or say --poison-kind perturbation"
        )
    return PoisonKind.PERTURBATION
