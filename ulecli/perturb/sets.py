"""Protecting a whole labelled data set at its own resolution, as `evaluate` and the benchmarks need it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ulecli.errors import UsageError
from ulecli.perturb.pgd import minimise
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_oracle import TorchOracle
from ulecli.perturb.weights import load_net
from ulecli.shelf import load_card
from ulecli.transforms import gray
from ulecli.units import LEVELS, check_epsilon, to_unit

BATCH = 500
"""Images perturbed at a time on the CPU, where more no longer makes it faster."""


def protect_set(
    surrogate: str,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: int = 8,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the images protected by a surrogate from the shelf, as they would be stored.

    Args:
        surrogate: Its name.
        images: (N, 3, S, S) uint8, S the surrogate's grid.
        labels: (N,) int64, the class or code of each image.
        epsilon: L-infinity bound in levels.
        device: A torch device.
        progress: Told the number of images done, after each batch.

    Returns:
        (N, 3, S, S) uint8, each channel within epsilon of `images`.

    Raises:
        ModelError: the surrogate is unknown, damaged or changed.
        UsageError: the images don't have the surrogate's size, or epsilon is out of range.
    """
    card = load_card(surrogate)
    if images.shape[2:] != (card.protocol["grid"],) * 2:
        raise UsageError(
            f"'{surrogate}' protects images of side {card.protocol['grid']}, not {images.shape[2]}"
        )
    settings = PgdSettings.from_card(card.protocol["pgd"])
    net = load_net(surrogate)
    delta = set_delta(net, images, labels, settings, epsilon=epsilon, device=device, progress=progress)
    return (images.to(torch.int16) + delta).clamp(0, LEVELS).to(torch.uint8)


def set_delta(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: PgdSettings,
    *,
    epsilon: int = 8,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return samplewise delta of a frozen net for a set of images, in whole levels.

    Args:
        net: In evaluation mode; sees `settings.channels` channels.
        images: (N, 3, S, S) uint8.
        labels: (N,) int64.
        settings: How PGD runs.
        epsilon: L-infinity bound in levels.
        seed: Of starts and views.
        device: A torch device.
        progress: Told the number of images done, after each batch.

    Returns:
        (N, 1, S, S) int16 under gray, else (N, 3, S, S), on the CPU; within [-epsilon, epsilon].

    Raises:
        UsageError: epsilon is out of range.
    """
    check_epsilon(epsilon)
    where = torch.device(device)
    convolves = any(isinstance(layer, nn.Conv2d) for layer in net.modules())
    oracle = TorchOracle(net.to(where), where, autocast=where.type == "cpu" and convolves)
    rng = np.random.default_rng(seed)
    found = []
    size = BATCH if where.type == "cpu" else 10 * BATCH
    for start in range(0, len(images), size):
        batch = images[start : start + size].to(where).float() / LEVELS
        delta = minimise(
            oracle,
            gray(batch) if settings.gray else batch,
            labels[start : start + size].to(where),
            settings,
            rng,
            epsilon=to_unit(epsilon),
        )
        found.append((delta * LEVELS).round().to(torch.int16).cpu())
        if progress is not None:
            progress(start + len(batch))
    return torch.cat(found)
