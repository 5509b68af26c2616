"""The surrogate of a defender for a data set: one that ships, or one that is trained on it and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ulecli import __version__
from ulecli.data.images import ImageSet
from ulecli.nets.precision import has_bfloat16
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.net_cache import NetCache, usual_folder
from ulecli.surrogates.recipe import find_recipe
from ulecli.surrogates.weights import load_net


@dataclass(frozen=True)
class Surrogate:
    """A frozen net and how it protects.

    Attributes:
        net: In evaluation mode.
        settings: Of its PGD.
        label: What distinguishes it: the first digits of its weights' sha256, or what it was trained on.
    """

    net: nn.Sequential
    settings: PgdSettings
    label: str


def ships(name: str, classes: int) -> bool:
    """Return whether the surrogate of a recipe ships for so many classes."""
    return name in store.names() and store.load_card(name).net["classes"] == classes


def find_surrogate(
    name: str,
    images: ImageSet,
    seed: int = 0,
    device: str = "cpu",
    checkpoints: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Surrogate:
    """Take a surrogate from those that ship or were trained earlier, or train it on `images`.

    A trained one is kept in the user's folder for caches, under all that decides it but the number of
    threads, by which nets differ in rounding alone.

    Args:
        name: Of its recipe.
        images: The clean training set, of the size that the recipe is for.
        seed: Of the training.
        device: Where to train.
        checkpoints: Folder where an interrupted training is taken up; None for nowhere.
        progress: Called after every step of a training; see `ulecli.evaluation.order.Progress`.

    Raises:
        ModelError: the surrogate that ships is damaged or changed.
    """
    recipe = find_recipe(name)
    if ships(name, len(images.classes)):
        card = store.load_card(name)
        known = card.files[f"{name}.safetensors"]
        settings = PgdSettings.from_card(card.protocol["pgd"])
        return Surrogate(load_net(name), settings, known.sha256[:8])
    training = Training(recipe, images, seed=seed, device=torch.device(device))
    label = f"trained on {images.digest[:8]}, seed {seed}"
    cache, identity = NetCache(usual_folder()), _identity(training)
    if (weights := cache.find(identity)) is not None:
        training.net.load_state_dict(weights)
        return Surrogate(training.frozen().cpu(), recipe.protection, label)
    checkpoint = None if checkpoints is None else checkpoints / f"{name}.checkpoint"
    net = training.run(
        checkpoint, lambda done, loss, right: progress("training", done, recipe.batches) if progress else None
    )
    if cache.add(identity, net) and checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return Surrogate(net.cpu(), recipe.protection, label)


def needs_training(name: str, images: ImageSet, seed: int = 0, device: str = "cpu") -> Training | None:
    """Return the training that `find_surrogate` would begin, before its first step; None if there is no need.

    Args:
        name: Of the recipe.
        images: The clean training set.
        seed: Of the training.
        device: Where to train.
    """
    if ships(name, len(images.classes)):
        return None
    training = Training(find_recipe(name), images, seed=seed, device=torch.device(device))
    return None if NetCache(usual_folder()).has(_identity(training)) else training


def _identity(training: Training) -> str:
    """Return all that decides a trained net but the number of threads, in words."""
    device = training.device.type
    versions = f"ulecli {__version__} torch {torch.__version__} numpy {np.__version__}"
    return f"{training.identity} on {device} bfloat16 {has_bfloat16(device)} {versions}"
