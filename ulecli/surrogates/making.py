"""Making a surrogate: train its net and write the files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ulecli.data.images import ImageSet
from ulecli.surrogates.export import write_surrogate
from ulecli.surrogates.min_min_training import Progress, Training
from ulecli.surrogates.recipe import Recipe
from ulecli.surrogates.store import Card


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
    progress: Progress | None = None,
) -> tuple[Card, nn.Sequential]:
    """Train the net of a recipe and write the surrogate.

    The training leaves a checkpoint in `folder` until the whole surrogate is written, so that an interrupted
    call is taken up by the next one with the same arguments.

    Args:
        name: Stem of the files.
        recipe: What to make.
        pictures: Images and their classes.
        folder: Where the files go; it exists.
        data: What the pictures are, in words, for the card.
        command: What makes the surrogate again, for the card.
        seed: Decides all randomness.
        device: Where to train.
        progress: Called after each step.

    Returns:
        The card and the frozen net.

    Raises:
        UleError: a checkpoint is damaged or of another training.
        OSError: the folder can't be written to.
    """
    checkpoint = folder / f"{name}.checkpoint"
    training = Training(recipe, pictures, seed=seed, device=device)
    net = training.run(checkpoint, progress)
    card = write_surrogate(
        name,
        net,
        recipe,
        folder,
        classes=len(pictures.classes),
        data=data,
        command=command,
        seed=seed,
        device=device.type,
        accuracy=training.accuracy,
    )
    checkpoint.unlink(missing_ok=True)
    return card, net
