"""Defenders by name: who protects a training set now, before exploiters train on it.

A surrogate that ships and knows as many classes as the data set has is used as it is. Otherwise, and
where there is only a recipe, the surrogate is trained on the data set first, as its defender would.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import UleError, UsageError
from ulecli.evaluation import crafted
from ulecli.evaluation.order import Defender, Order, Progress
from ulecli.evaluation.own_surrogates import find_surrogate, ships
from ulecli.evaluation.results.record import NOISE
from ulecli.evaluation.set_protection import SetProtection
from ulecli.perturb.sets import class_delta
from ulecli.registry import Registry
from ulecli.surrogates.recipe import ON, RECIPES, find_recipe
from ulecli.units import DEFAULT_EPSILON, check_epsilon

CLASSWISE = "-classwise"
"""Ending of a name: one perturbation for all images of a class."""

_CHUNK = 1000
"""Images whose bound is checked at a time, which limits the memory."""


def defend(
    name: str,
    images: ImageSet,
    *,
    chosen: Tensor | None = None,
    epsilon: int = DEFAULT_EPSILON,
    seed: int = 0,
    device: str = "cpu",
    checkpoints: Path | None = None,
    progress: Progress | None = None,
    defenders: Registry[Defender] | None = None,
    remarks: list[str] | None = None,
) -> ImageSet:
    """Return a training set as a defender stores it.

    Args:
        name: A key of `DEFENDERS`.
        images: The clean training set, 32 x 32 for surrogates.
        chosen: (n,) int64, the places of those that shall be protected; None for all. A surrogate that has to
            be trained first learns from all of `images`, and so does what a class has in common.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        device: A torch device.
        checkpoints: Folder where interrupted work is taken up, left for the caller to delete; None for
            nowhere.
        progress: Called after every step.
        defenders: Those that there are; None for `DEFENDERS`.
        remarks: Takes what the user should know of the work, one line each.

    Returns:
        The chosen images in their order, with their labels; no value further than epsilon from what it was.

    Raises:
        UsageError: there is no such defender, epsilon is out of range, or the images are of another size.
        ModelError: the surrogate is damaged or changed.
        UleError: the defender returned something else than images, or went beyond the bound.
    """
    check_epsilon(epsilon)
    defender = find_defender(name, defenders)
    check_size(name, images.images.shape[2], images.images.shape[3], defenders)
    places = torch.arange(len(images)) if chosen is None else chosen
    order = Order(places, epsilon, seed, device, checkpoints, progress)
    made = defender.protect(images, order)
    if remarks is not None:
        remarks.extend(order.remarks)
    own = images if chosen is None else images.subset(chosen)
    if isinstance(made, Tensor) and len(made) == len(images) != len(own):
        made = made[places]
    _check_made(name, made, own.images, epsilon)
    return replace(own, images=made.cpu())


def _check_made(name: str, made: object, clean: Tensor, epsilon: int) -> None:
    """Refuse what a defender can't have meant.

    Raises:
        UleError: it is no uint8 tensor of the shape of the clean images, or goes beyond the bound.
    """
    if not isinstance(made, Tensor) or made.dtype != torch.uint8 or made.shape != clean.shape:
        what = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise UleError(f"defender '{name}' returned {what}, not a uint8 tensor {tuple(clean.shape)}")
    parts = zip(torch.split(made.cpu(), _CHUNK), torch.split(clean, _CHUNK), strict=True)
    largest = max((int((one.to(torch.int16) - other).abs().max()) for one, other in parts), default=0)
    if largest > epsilon:
        raise UleError(
            f"defender '{name}' changed a value by {largest} levels; the bound is {epsilon} (--eps)"
        )


def _noise(images: ImageSet, order: Order, *, classwise: bool) -> Tensor:
    """Add random signs at the bound; see `Protect`."""
    own = images.subset(order.chosen)
    # An image's noise is the same whichever others are chosen.
    delta = _signs(len(images.classes) if classwise else len(images), images, order.epsilon, order.seed)
    return own.plus(delta, own.labels if classwise else order.chosen).images


def _by_surrogate(images: ImageSet, order: Order, *, name: str, classwise: bool) -> Tensor:
    """Add what a surrogate's PGD finds; see `Protect`."""
    progress, own = order.progress, images.subset(order.chosen)
    surrogate = find_surrogate(name, images, order.seed, order.device, order.checkpoints, progress)
    if classwise:
        delta = class_delta(
            surrogate.net,
            images.images,
            images.labels,
            len(images.classes),
            surrogate.settings,
            epsilon=order.epsilon,
            seed=order.seed,
            device=order.device,
        )
        return own.plus(delta, own.labels).images
    protection = SetProtection(surrogate, own, order.epsilon, order.seed, order.device)
    parts = None if order.checkpoints is None else order.checkpoints / "protecting"
    return own.plus(protection.delta(parts, progress)).images


def _defenders(classwise: bool) -> dict[str, Defender]:
    """Return noise, every recipe and every method of crafting, by name."""
    end = CLASSWISE if classwise else ""
    words = "random signs at the bound, tied across RGB: a control"
    found = {f"{NOISE}{end}": Defender(partial(_noise, classwise=classwise), words)}
    for name, recipe in RECIPES.items():
        protect = partial(_by_surrogate, name=name, classwise=classwise)
        found[f"{name}{end}"] = Defender(protect, recipe.purpose, recipe.grid)
    for name in crafted.METHOD_OF:
        if (one := crafted.defender(name, classwise=classwise)) is not None:
            found[f"{name}{end}"] = one
    return found


DEFENDERS: Registry[Defender] = Registry("defender", {**_defenders(False), **_defenders(True)})
"""By name. A new surrogate is a recipe; see `ulecli.surrogates.recipe`."""


def defender_names(classwise: bool = True) -> tuple[str, ...]:
    """Return the names of `DEFENDERS`, with their class-wise variants or without."""
    return tuple(name for name in DEFENDERS if classwise or not name.endswith(CLASSWISE))


def check_defender(name: str, defenders: Registry[Defender] | None = None) -> str:
    """Return the name if there is a defender of that name; see `find_defender`."""
    find_defender(name, defenders)
    return name


def find_defender(name: str, defenders: Registry[Defender] | None = None) -> Defender:
    """Return the defender of a name.

    A defender with a surrogate may have the name of a net behind it, "uleo-grayaugs@resnet18": its surrogate
    is then made of that net and trained now.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if ON in name:
        return _on_another_net(name, defenders)
    known = DEFENDERS if defenders is None else defenders
    more = [each for each in known if each not in DEFENDERS]
    built_in = f"{', '.join(defender_names(classwise=False))}, each also with {ON}NET or {CLASSWISE}"
    return known.find(name, ", ".join([built_in, *more]))


def _on_another_net(name: str, defenders: Registry[Defender] | None) -> Defender:
    plain = name.removesuffix(CLASSWISE)
    stem, _, net = plain.partition(ON)
    if stem in crafted.METHOD_OF:
        one = crafted.defender(stem, net, classwise=name.endswith(CLASSWISE))
        return find_defender(f"{stem}{CLASSWISE}", defenders) if one is None else one
    if stem not in RECIPES or stem not in DEFENDERS:
        find_defender(stem, defenders)
        raise UsageError(f"'{stem}' can't be put on another net: write it as in uleo-grayaugs{ON}resnet18")
    recipe = find_recipe(plain)
    protect = partial(_by_surrogate, name=plain, classwise=name.endswith(CLASSWISE))
    return Defender(protect, recipe.purpose, recipe.grid)


def grid_of(name: str, defenders: Registry[Defender] | None = None) -> int:
    """Return the side in pixels of the images that a defender protects; 0 for any."""
    return find_defender(name, defenders).side


def is_fixed(name: str, classes: int, defenders: Registry[Defender] | None = None) -> bool:
    """Return whether a defender protects a set of so many classes alike for every seed."""
    return not find_defender(name, defenders).draws or ships(name.removesuffix(CLASSWISE), classes)


def check_size(name: str, height: int, width: int, defenders: Registry[Defender] | None = None) -> None:
    """Refuse images that a defender can't protect.

    Raises:
        UsageError: it protects images of another size.
    """
    grid = grid_of(name, defenders)
    if grid and (height, width) != (grid, grid):
        raise UsageError(
            f"'{name}' protects images of {grid} x {grid}, not {width} x {height}: squeeze photos with "
            f"--size {grid}, or name what `ulecli protect` wrote with --protected"
        )


def _signs(count: int, images: ImageSet, epsilon: int, seed: int) -> Tensor:
    """Return random signs at the bound, (count, 1, H, W) int16, tied across RGB as a gray delta is."""
    shape = (count, 1, *images.images.shape[2:])
    signs = np.random.default_rng(seed).integers(0, 2, shape, np.int8).astype(np.int16)
    return torch.from_numpy((2 * signs - 1) * np.int16(epsilon))
