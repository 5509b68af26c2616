"""What Python may give to `EvaluateConfig` in place of the types of its fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ulecli.errors import UsageError, unknown
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.imaging.upload import Upload
from ulecli.nets.devices import usable_device

_SEVERAL = ("exploiters", "defenders", "archs", "backbones", "only", "poisons", "seeds")
_TEXTS = ("backbones", "only", "poisons")
_NUMBERS = ("share", "validation")
_PATHS = ("data_root", "protected", "out")
_WHOLE = ("backbone_size", "size", "train_images", "attack_steps", "jobs", "threads")


def as_meant(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of fields that are to be others than those given, by name.

    Strings become paths, lists tuples, and words what they are parsed to.

    Args:
        given: The value of each field.

    Raises:
        UsageError: One thing is given where several are meant, or something that can't be what is meant.
        DeviceUnavailable: torch knows no such device.
    """
    meant: dict[str, Any] = {name: _several(name, given[name]) for name in _SEVERAL}
    meant |= {name: _texts(name, meant[name]) for name in _TEXTS}
    meant["poisons"] = tuple(map(Path, meant["poisons"]))
    for name, values in (("seeds", meant["seeds"]), *((name, [given[name]]) for name in _WHOLE)):
        if not all(isinstance(value, int) for value in values):
            raise UsageError(f"{name} is {given[name]!r}, but takes whole numbers")
    for name in _NUMBERS:
        if not isinstance(given[name], int | float):
            raise UsageError(f"{name} is {given[name]!r}, but takes a number")
    meant |= {name: _path(name, given[name]) for name in _PATHS}
    meant["dataset"] = str(given["dataset"])
    meant["poison_kind"] = _poison_kind(given["poison_kind"])
    if isinstance(given["upload"], str):
        meant["upload"] = Upload.parse(given["upload"])
    if isinstance(given["mix"], str):
        meant["mix"] = parse_mix(given["mix"])
    device = str(given["device"])
    meant["device"] = usable_device(device).type if device == "auto" else device
    return meant


def parse_mix(text: str) -> tuple[int, int]:
    """Read "5+30".

    Raises:
        UsageError: it is something else.
    """
    found = re.fullmatch(r"(\d{1,3})\+(\d{1,3})", text)
    if not found:
        raise UsageError(f"--mix {text!r}: write CLEAN+ADDED in percent, for instance 5+30")
    return int(found[1]), int(found[2])


def _path(name: str, value: object) -> Path | None:
    if value is not None and not isinstance(value, str | PathLike):
        raise UsageError(f"{name} is {value!r}, but takes a path")
    return None if value is None else Path(value)


def _several(name: str, value: object) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | PathLike) or not isinstance(value, Iterable):
        raise UsageError(f"{name} is {value!r}: write a tuple, ({value!r},) for one alone")
    return tuple(value)


def _texts(name: str, values: Iterable[object]) -> tuple[str, ...]:
    for one in values:
        if not isinstance(one, str | PathLike):
            raise UsageError(f"{name} holds a {type(one).__name__}; each has to be a text or a path")
    return tuple(str(one) for one in values)


def _poison_kind(word: str) -> PoisonKind:
    if word not in set(PoisonKind):
        raise unknown("poison kind", word, PoisonKind)
    return PoisonKind(word)
