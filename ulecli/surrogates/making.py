"""Making a surrogate: train the net of each family, one after the other, and write the files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from ulecli.data.images import ImageSet
from ulecli.surrogates.export import write_surrogate
from ulecli.surrogates.min_min_training import Progress, Training
from ulecli.surrogates.recipe import Recipe
from ulecli.surrogates.store import Card

Bar = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens a progress display for a part of the work, given in words."""


def make_surrogate(
    name: str,
    recipe: Recipe,
    pictures: ImageSet,
    folder: Path,
    *,
    data: str,
    command: str,
    seed: int,
    device: torch.device,
    bar: Bar,
) -> tuple[Card, list[nn.Sequential]]:
    """Train all nets of a recipe and write the surrogate.

    Each net leaves checkpoints in `folder` until the whole surrogate is written, so that an interrupted call
    is taken up by the next one with the same arguments.

    Args:
        name: Stem of the files.
        recipe: What to make.
        pictures: Images and their classes.
        folder: Where the files go; it exists.
        data: What the pictures are, in words, for the card.
        command: What makes the surrogate again, for the card.
        seed: Decides all randomness.
        device: Where to train.
        bar: Shows progress.

    Returns:
        The card and the frozen nets.

    Raises:
        UleError: a checkpoint is damaged or of another training.
        OSError: the folder can't be written to.
    """
    nets, accuracies, checkpoints = [], [], []
    for family in range(recipe.families):
        checkpoints.append(folder / f"{name}.{family}.checkpoint")
        training = Training(recipe, pictures, seed=seed, device=device, family=family)
        with bar(f"net {family + 1} of {recipe.families}") as progress:
            nets.append(training.run(checkpoints[-1], progress))
        accuracies.append(training.accuracy)
    card = write_surrogate(
        name,
        nets,
        recipe,
        folder,
        classes=len(pictures.classes),
        data=data,
        command=command,
        seed=seed,
        device=device.type,
        accuracy=sum(accuracies) / len(accuracies),
    )
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return card, nets
