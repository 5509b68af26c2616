"""Protecting a whole labelled data set at its own resolution, as `evaluate` and the benchmarks need it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ulecli import __version__
from ulecli.nets.devices import usable_device
from ulecli.nets.precision import has_bfloat16
from ulecli.perturb.pgd import draw, minimise, views_of
from ulecli.perturb.set_parts import SetParts
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_gradients import gradients_of
from ulecli.transforms.gray import gray
from ulecli.units import DEFAULT_EPSILON, LEVELS, check_epsilon, to_unit

BATCH = 500
"""Images perturbed at a time on the CPU, where more no longer makes it faster."""


def set_delta(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: PgdSettings,
    *,
    epsilon: int = DEFAULT_EPSILON,
    seed: int = 0,
    device: str = "cpu",
    parts: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return samplewise delta of a frozen net for a set of images, in whole levels.

    Args:
        net: In evaluation mode; sees `settings.channels` channels.
        images: (N, 3, S, S) uint8.
        labels: (N,) int64.
        settings: How PGD runs.
        epsilon: L-infinity bound in levels.
        seed: Of starts and views, which are drawn batch by batch: devices with other batches draw others.
        device: A torch device.
        parts: A folder where each batch is kept and an interrupted work is taken up, with the result that it
            would have had; left for the caller to delete. None for nowhere.
        progress: Called with the number of images done, after each batch.

    Returns:
        (N, 1, S, S) int16 under gray, else (N, 3, S, S), on the CPU; within [-epsilon, epsilon].

    Raises:
        UsageError: epsilon is out of range.
        DeviceUnavailable: torch can't use the device.
        TargetError: a part can't be written.
    """
    check_epsilon(epsilon)
    where = usable_device(device)
    size = BATCH if where.type == "cpu" else 10 * BATCH
    kept = None
    if parts is not None:
        kept = SetParts(parts, _fingerprint(net, images, labels, settings, epsilon, seed, where.type, size))
    surrogate = gradients_of(net, where)
    rng = np.random.default_rng(seed)
    found = [] if kept is None else [torch.from_numpy(one).to(torch.int16) for one in kept.read(rng)]
    if found and progress is not None:
        progress(min(len(found) * size, len(images)))
    for start in range(len(found) * size, len(images), size):
        batch = images[start : start + size].to(where).float() / LEVELS
        delta = minimise(
            surrogate,
            gray(batch) if settings.gray else batch,
            labels[start : start + size].to(where),
            settings,
            views_of(settings, rng, len(batch), batch.shape[-1]),
            epsilon=to_unit(epsilon),
            rng=rng,
        )
        found.append((delta * LEVELS).round().to(torch.int16).cpu())
        if kept is not None:
            kept.add(start // size, found[-1].to(torch.int8).numpy(), rng)
        if progress is not None:
            progress(start + len(batch))
    return torch.cat(found)


def _fingerprint(net: nn.Module, images: Tensor, labels: Tensor, *settings: object) -> str:
    """Return the sha256 of all that decides a delta but the number of threads."""
    packages = (__version__, torch.__version__, np.__version__, has_bfloat16("cpu"))
    digest = hashlib.sha256(repr((settings, packages)).encode())
    for name, value in (("images", images), ("labels", labels), *sorted(net.state_dict().items())):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def class_delta(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    classes: int,
    settings: PgdSettings,
    *,
    epsilon: int = DEFAULT_EPSILON,
    seed: int = 0,
    device: str = "cpu",
) -> Tensor:
    """Return classwise delta of a frozen net: one perturbation that all images of a class share.

    Each step takes the mean of the normalised gradients of a class in a batch of `BATCH` images (Huang et
    al., 'Unlearnable Examples', 2021). Unlike a samplewise delta it is exposed by averaging a class.

    Args:
        net: In evaluation mode; sees `settings.channels` channels.
        images: (N, 3, S, S) uint8.
        labels: (N,) int64, 0 to classes - 1.
        classes: Number K of classes.
        settings: How PGD runs; a class that a batch misses is moved by its momentum alone.
        epsilon: L-infinity bound in levels.
        seed: Of start, batches and views.
        device: A torch device.

    Returns:
        (K, 1, S, S) int16 in levels under gray, else (K, 3, S, S), on the CPU; within [-epsilon, epsilon].

    Raises:
        UsageError: epsilon is out of range.
        DeviceUnavailable: torch can't use the device.
    """
    bound = to_unit(check_epsilon(epsilon))
    where = usable_device(device)
    surrogate, rng = gradients_of(net, where), np.random.default_rng(seed)
    shape = (classes, settings.channels, *images.shape[2:])
    start = rng.uniform(-bound, bound, shape) if settings.random_start else np.zeros(shape)
    delta = surrogate.asarray(start.astype(np.float32))
    direction = torch.zeros_like(delta)
    for _ in range(settings.steps):
        chosen = torch.from_numpy(rng.permutation(len(images))[:BATCH])
        batch = images[chosen].to(where).float() / LEVELS
        batch = gray(batch) if settings.gray else batch
        own = labels[chosen].to(where)
        gradient = torch.zeros_like(batch)
        for _ in range(settings.views):
            view = draw(settings.augment, rng, len(batch), batch.shape[-1], None)
            gradient += surrogate.gradient(batch, delta[own], own, view)
        gradient /= gradient.abs().mean((1, 2, 3), keepdim=True).clip(1e-12)
        share = torch.bincount(own, minlength=classes).clip(1)[:, None, None, None]
        mean = torch.zeros_like(delta).index_add_(0, own, gradient) / share
        direction = settings.momentum * direction + mean
        delta = (delta - settings.travel * bound / settings.steps * direction.sign()).clip(-bound, bound)
    if settings.saturate:
        delta = bound * (delta.sign() - 0.5 * direction.sign()).sign()
    return (delta * LEVELS).round().to(torch.int16).cpu()
