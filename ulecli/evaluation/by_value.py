"""Exploiters, nets and defenders that Python gives as objects: they get names and become a plugin."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from itertools import chain, count
from types import FunctionType
from typing import Any, Generic, TypeVar

from torch import nn

from ulecli.errors import UsageError
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.order import Defender, Protect
from ulecli.evaluation.plugins import Plugin, Registries
from ulecli.nets.registry import Net
from ulecli.registry import Registry

AnyExploiter = str | Countermeasure
"""An exploiter by name, or by value. One without a name is called "own"."""

AnyNet = str | Net | nn.Module | Callable[..., nn.Module]
"""A net by name, or by value: what builds one (see `built`), or a module, of which every training starts from
a copy, weights included, so that seeds don't vary them."""

AnyDefender = str | Defender | Protect
"""A defender by name, or by value."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Named:
    """What was given, by name.

    Attributes:
        exploiters: Names of exploiters.
        archs: Names of nets.
        defenders: Names of defenders.
        plugin: Defines those that were given by value; None if there are none.
    """

    exploiters: tuple[str, ...]
    archs: tuple[str, ...]
    defenders: tuple[str, ...]
    plugin: Plugin | None


def named(
    exploiters: Sequence[object],
    archs: Sequence[object],
    defenders: Sequence[object],
    *,
    known: Registries,
    attack_steps: int,
) -> Named:
    """Name what is given by value. What is known is called as it is, and a taken name gets "own-" before it.

    Args:
        exploiters: Names and objects, see `AnyExploiter`.
        archs: See `AnyNet`.
        defenders: See `AnyDefender`.
        known: What can be named.
        attack_steps: Steps of PGD that adversarial exploiters of a known name take.

    Raises:
        UsageError: Something is none of these.
    """

    def same(name: str, measure: Countermeasure) -> bool:
        shipped = find_exploiter(name, attack_steps=attack_steps, families=known.exploiters)
        return _alike(shipped, measure)

    def measured(name: str) -> bool:
        try:
            return bool(find_exploiter(name, families=known.exploiters))
        except UsageError:
            return False

    measures, nets, protectors = _Values[Countermeasure](), _Values[Net](), _Values[Defender]()
    found = Named(
        tuple(measures.name(one, _exploiter(one), measured, same) for one in exploiters),
        tuple(nets.name(one, _net(one, known.nets), known.nets.__contains__) for one in archs),
        tuple(protectors.name(one, _defender(one), known.defenders.__contains__) for one in defenders),
        None,
    )
    if not (measures.by_name or nets.by_name or protectors.by_name):
        return found
    plugin = Plugin(measures.by_name, nets.by_name, protectors.by_name)
    return Named(found.exploiters, found.archs, found.defenders, plugin)


class _Values(Generic[Made]):
    """Objects of one sort, by the names that they get."""

    def __init__(self) -> None:
        self.by_name: dict[str, Made] = {}
        self._seen: list[tuple[object, str]] = []

    def name(
        self,
        given: object,
        read: str | tuple[str, Made],
        known: Callable[[str], bool],
        same: Callable[[str, Made], bool] = lambda name, made: False,
    ) -> str:
        """Return the name of what was given, and keep it if it is an object that is not known yet."""
        if isinstance(read, str):
            return read
        base, made = read
        for other, name in self._seen:
            if other is given:
                return name
        if known(base) and same(base, made):
            return base
        base = base.replace("+", "-")  # which joins names
        tries = chain((base, f"own-{base}"), (f"own-{base}-{number}" for number in count(2)))
        name = next(one for one in tries if one not in self.by_name and not known(one))
        self.by_name[name] = made
        self._seen.append((given, name))
        return name


def built(make: Callable[..., nn.Module], *, channels: int, classes: int, **settings: Any) -> nn.Module:
    """Build a net, giving a function or class what it has parameters for.

    Args:
        make: Takes `channels` and `classes` or, as many have it, `num_classes`; or nothing at all.
        channels: Of the images, 3.
        classes: How many there are.
        **settings: Others, likewise.
    """
    offered = {"channels": channels, "classes": classes, "num_classes": classes, **settings}
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # of what is written in C nothing is known
        return make(classes)
    taken = {name: value for name, value in offered.items() if name in parameters}
    rest = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    if rest and not taken:
        taken = {name: value for name, value in offered.items() if name != "num_classes"}
    return make(**taken)


def _exploiter(one: object) -> str | tuple[str, Countermeasure]:
    if isinstance(one, str):
        return one
    if isinstance(one, Countermeasure):
        usual = "standard" if one == Countermeasure() else "own"
        name = _typeable(one.name.lower(), "+") or usual
        return name, replace(one, name=one.name or name)
    raise _unfit("exploiters", one, "a Countermeasure")


def _net(one: object, known: Registry[Net]) -> str | tuple[str, Net]:
    if isinstance(one, str):
        return one
    shipped = [name for name, net in known.items() if net is one or net.make is one]
    if shipped:
        return shipped[0]
    if isinstance(one, Net):
        return _called(one.make, "net"), one
    if isinstance(one, nn.Module):
        words = "a module, from the weights that it has"
        return _called(type(one), "net"), Net(lambda **_: deepcopy(one), words)
    if callable(one):
        return _called(one, "net"), Net(partial(built, one), "given by value")
    raise _unfit("archs", one, "a Net, a module, or a function or class that builds one")


def _defender(one: object) -> str | tuple[str, Defender]:
    if isinstance(one, str):
        return one
    if isinstance(one, Defender):
        return _called(one.protect, "own"), one
    if callable(one):
        return _called(one, "own"), Defender(one, "given by value")
    raise _unfit("defenders", one, "a Defender, or a function that protects")


def _called(value: object, otherwise: str) -> str:
    """Return what a function or class calls itself; functions without a name are called otherwise."""
    inner = value.func if isinstance(value, partial) else value
    name: str = getattr(inner, "__name__", type(inner).__name__)
    return otherwise if name == "<lambda>" else _typeable(name) or otherwise


def _typeable(name: str, more: str = "") -> str:
    return re.sub(f"[^A-Za-z0-9_.{re.escape(more)}-]+", "-", name).strip("-.")


def _alike(one: object, other: object) -> bool:
    """Return whether two hooks do the same, by code and what it is bound to, or by their parts."""
    if type(one) is not type(other):
        return False
    if isinstance(one, partial) and isinstance(other, partial):
        return _alike(
            (one.func, one.args, tuple(sorted(one.keywords.items()))),
            (other.func, other.args, tuple(sorted(other.keywords.items()))),
        )
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ is other.__code__ and _alike(_bound(one), _bound(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if is_dataclass(one):
        return all(_alike(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return one is other or (isinstance(one, str | int | float) and one == other)


def _bound(function: FunctionType) -> tuple[object, ...]:
    cells = function.__closure__ or ()
    return (*(cell.cell_contents for cell in cells), *(function.__defaults__ or ()))


def _unfit(what: str, one: object, wanted: str) -> UsageError:
    return UsageError(f"{what} holds a {type(one).__name__}; each has to be a name or {wanted}")
