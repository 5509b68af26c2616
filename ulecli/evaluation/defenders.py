"""Defenders by name: who protects a training set now, before exploiters train on it.

A surrogate that ships and tells as many classes apart as the data set has is used as it is. Otherwise, and
where there is only a recipe, the surrogate is trained on the data set first, as its defender would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ulecli.data.images import ImageSet
from ulecli.errors import UsageError, unknown
from ulecli.perturb.sets import class_delta, set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.recipe import RECIPES, Recipe
from ulecli.surrogates.weights import load_net
from ulecli.units import DEFAULT_EPSILON, LEVELS, check_epsilon

CLASSWISE = "-classwise"
"""Ending of a name: one perturbation for all images of a class."""

NOISE = "noise"
"""The control: what any change of that strength does."""

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is in all."""


@dataclass(frozen=True)
class Surrogate:
    """A frozen net and how it protects.

    Attributes:
        net: In evaluation mode.
        settings: Of its PGD.
        label: What tells it from others: the first digits of its weights' sha256, or what it was trained on.
    """

    net: nn.Sequential
    settings: PgdSettings
    label: str


def defender_names(classwise: bool = True) -> tuple[str, ...]:
    """Return all names, with their class-wise variants or without."""
    plain = [NOISE, *(name for name, recipe in RECIPES.items() if recipe.families == 1)]
    return (*plain, *(f"{name}{CLASSWISE}" for name in plain)) if classwise else tuple(plain)


def check_defender(name: str) -> str:
    """Return the name if there is a defender of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in defender_names():
        listed = f"{', '.join(defender_names(classwise=False))}, each also with {CLASSWISE}"
        raise unknown("defender", name, defender_names(), listed)
    return name


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
) -> ImageSet:
    """Return a training set as a defender stores it.

    Args:
        name: One of `defender_names`.
        images: The clean training set, 32 x 32 for surrogates.
        chosen: (n,) int64, the places of those that shall be protected; None for all. A surrogate that has to
            be trained first learns from all of `images`, and so does what a class has in common.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        device: A torch device.
        checkpoints: Folder where an interrupted training of a surrogate is taken up; None for nowhere.
        progress: Told of every step.

    Returns:
        The chosen images in their order, with their labels; no value further than epsilon from what it was.

    Raises:
        UsageError: there is no such defender, epsilon is out of range, or the images are of another size.
        ModelError: the surrogate is damaged or changed.
    """
    check_epsilon(epsilon)
    stem = check_defender(name).removesuffix(CLASSWISE)
    classwise = name != stem
    own = images if chosen is None else images.subset(chosen)
    if stem == NOISE:
        delta = _signs(len(images.classes) if classwise else len(images), images, epsilon, seed)
        if chosen is not None and not classwise:
            delta = delta[chosen]  # an image's noise is the same whichever others are chosen
    else:
        surrogate = find_surrogate(stem, images, seed, device, checkpoints, progress)
        if classwise:
            delta = class_delta(
                surrogate.net,
                images.images,
                images.labels,
                len(images.classes),
                surrogate.settings,
                epsilon=epsilon,
                seed=seed,
                device=device,
            )
        else:
            delta = set_delta(
                surrogate.net,
                own.images,
                own.labels,
                surrogate.settings,
                epsilon=epsilon,
                seed=seed,
                device=device,
                progress=lambda done: progress("protecting", done, len(own)) if progress else None,
            )
    return added(own, delta[own.labels] if classwise else delta)


def grid_of(name: str) -> int:
    """Return the side in pixels of the images that a defender protects; 0 for any."""
    stem = name.removesuffix(CLASSWISE)
    return 0 if stem == NOISE else RECIPES[stem].grid


def check_size(name: str, height: int, width: int) -> None:
    """Refuse images that a defender can't protect.

    Raises:
        UsageError: it protects images of another size.
    """
    grid = grid_of(name)
    if grid and (height, width) != (grid, grid):
        raise UsageError(
            f"'{name}' protects images of {grid} x {grid}, not {width} x {height}: squeeze photos with "
            f"--size {grid}, or name what `ulecli protect` wrote with --protected"
        )


def added(images: ImageSet, delta: Tensor) -> ImageSet:
    """Return images + delta, (N, 1 or 3, H, W) int16 in levels, as uint8 stores them."""
    levels = (images.images.to(torch.int16) + delta).clamp_(0, LEVELS).to(torch.uint8)
    return replace(images, images=levels)


def find_surrogate(
    name: str,
    images: ImageSet,
    seed: int = 0,
    device: str = "cpu",
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Surrogate:
    """Take a surrogate from those that ship, or train it on `images`; see `defend`."""
    recipe = RECIPES[name]
    check_size(name, *images.images.shape[2:])
    if name in store.names():
        card = store.load_card(name)
        if card.net["classes"] == len(images.classes):
            stamp = card.files[f"{name}.safetensors"]
            settings = PgdSettings.from_card(card.protocol["pgd"])
            return Surrogate(load_net(name), settings, stamp.sha256[:8])
    return _trained(name, recipe, images, seed, device, checkpoints, progress)


def _trained(
    name: str,
    recipe: Recipe,
    images: ImageSet,
    seed: int,
    device: str,
    checkpoints: Path | None,
    progress: Progress | None,
) -> Surrogate:
    training = Training(recipe, images, seed=seed, device=torch.device(device))
    checkpoint = None if checkpoints is None else checkpoints / f"{name}.checkpoint"
    net = training.run(
        checkpoint,
        lambda done, loss, right: progress("training", done, recipe.batches) if progress else None,
    )
    return Surrogate(net.cpu(), recipe.protection, f"trained on {images.digest[:8]}, seed {seed}")


def _signs(count: int, images: ImageSet, epsilon: int, seed: int) -> Tensor:
    """Return random signs at the bound, (count, 1, H, W) int16, tied across RGB as a gray delta is."""
    shape = (count, 1, *images.images.shape[2:])
    signs = np.random.default_rng(seed).integers(0, 2, shape, np.int8).astype(np.int16)
    return torch.from_numpy((2 * signs - 1) * np.int16(epsilon))
