"""First steps of the work of an evaluation, which show how long it takes before it begins."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from ulecli.data.images import ImageSet
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.nets.registry import NETS, Net, make_net
from ulecli.nets.seeding import seeded
from ulecli.perturb.sets import BATCH, set_delta
from ulecli.registry import Registry
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.recipe import find_recipe

SECONDS = 1.0
"""How long steps are measured, if that is more than one of them."""

_MOST = 20
"""Steps that are measured at most."""

_GPU_IMAGES = 50
"""Images that a perturbation is measured on, where no threads share them."""


class _EnoughError(Exception):
    """Ends a training that was only begun."""


def seconds_of_training(training: Training) -> float:
    """Return how long the training of a surrogate will take, by its first steps, which it then has taken."""
    return _pace(training.step, training.device) * training.recipe.batches


def seconds_of_protecting(name: str, images: ImageSet, count: int, device: str) -> float:
    """Return how long the perturbation of `count` images by PGD against a surrogate will take.

    Args:
        name: Of its recipe; nets of one recipe are as fast with other weights.
        images: The data set, at least one image.
        count: Number of images.
        device: A torch device.
    """
    recipe = find_recipe(name)
    settings = dict(recipe.net)
    channels, classes = recipe.protection.channels, len(images.classes)
    with seeded(0):
        net = make_net(settings.pop("name"), channels=channels, classes=classes, **settings)
    net.eval().requires_grad_(False)
    # On a CPU each thread perturbs a batch of its own, and other processes slow them down together.
    most = BATCH * torch.get_num_threads() if torch.device(device).type == "cpu" else _GPU_IMAGES
    few = images.subset(torch.arange(min(most, len(images))))

    def protect() -> None:
        set_delta(net, few.images, few.labels, recipe.protection, device=device)

    return _pace(protect, torch.device(device)) * count / len(few)


def seconds_of_an_image(
    images: ImageSet, test: ImageSet, protocol: Protocol, device: str, nets: Registry[Net] = NETS
) -> float | None:
    """Return how long a training takes for one image, forward and back; None if it can't be begun.

    Args:
        images: A training set of the size that will be trained on.
        test: Test images of the same classes.
        protocol: How the net is trained.
        device: A torch device.
        nets: The nets that `protocol.net` is one of.
    """
    where, ends = torch.device(device), list[float]()
    protocol = replace(protocol.fitted(len(images)), least_steps=0)  # as large a batch, of fewer images
    few = images.subset(torch.arange(min(len(images), (_MOST + 1) * protocol.batch_size)))

    def stepped(share: float) -> None:
        _wait(where)
        ends.append(time.monotonic())
        if len(ends) > _MOST or (len(ends) > 1 and ends[-1] - ends[0] > SECONDS):
            raise _EnoughError

    with contextlib.suppress(_EnoughError, ValueError):
        train_exploiter(few, test, protocol, Countermeasure(), 0, device=device, on_step=stepped, nets=nets)
    return (ends[-1] - ends[0]) / (len(ends) - 1) / protocol.batch_size if len(ends) > 1 else None


def _pace(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a step, without the first, which makes ready what the others use."""
    step()
    _wait(device)
    started, count = time.monotonic(), 0
    while not count or (count < _MOST and time.monotonic() - started < SECONDS):
        step()
        _wait(device)
        count += 1
    return (time.monotonic() - started) / count


def _wait(device: torch.device) -> None:
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
