"""Protecting a whole labelled data set at its own resolution, as `evaluate` and the benchmarks need it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor, nn

from ulecli import __version__
from ulecli.nets.devices import usable_device
from ulecli.nets.fusing import fused
from ulecli.nets.precision import has_bfloat16
from ulecli.nets.threads import spread
from ulecli.perturb.pgd import draw, minimise, views_of, weighing
from ulecli.perturb.set_parts import SetParts
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_gradients import TorchGradients, gradients_of
from ulecli.transforms.gray import gray
from ulecli.transforms.views import View
from ulecli.units import DEFAULT_EPSILON, LEVELS, check_epsilon, to_unit

BATCH = 125
"""Images perturbed at a time by one thread of a CPU: more take longer each, fewer hardly less."""

GPU_BATCH = 5000
"""Images perturbed at a time on other devices."""

CLASSWISE_BATCH = 500
"""Images that a step of a classwise delta is taken from."""

_SCHEME = "a generator for each batch, batch norms fused"
"""What else decides a delta: one that was made in another way is not taken up."""


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

    On a CPU as many batches are in work at a time as torch has threads, each with one of them, so that none
    waits for another; the result is the same for any number of threads.

    Args:
        net: In evaluation mode; sees `settings.channels` channels.
        images: (N, 3, S, S) uint8.
        labels: (N,) int64.
        settings: How PGD runs.
        epsilon: L-infinity bound in levels.
        seed: Of starts and views, 0 or more. Each batch has a generator of its own, of seed and number:
            devices with other batches draw others.
        device: A torch device.
        parts: A folder where each batch is kept and an interrupted work is taken up, with the result that it
            would have had; left for the caller to delete. None for nowhere.
        progress: Called in this thread with the number of images done, after each batch.

    Returns:
        (N, 1, S, S) int16 under gray, else (N, 3, S, S), on the CPU; within [-epsilon, epsilon].

    Raises:
        UsageError: epsilon is out of range.
        DeviceUnavailable: torch can't use the device.
        TargetError: a part can't be written.
    """
    check_epsilon(epsilon)
    where = usable_device(device)
    size, threads = batch_size(where), torch.get_num_threads() if where.type == "cpu" else 1
    kept = None
    if parts is not None:
        identity = delta_identity(net, images, labels, settings, epsilon=epsilon, seed=seed, device=device)
        kept = SetParts(parts, identity)
    batches = _Batches(gradients_of(fused(net), where), images, labels, settings, epsilon, seed, size)

    def make(number: int, stop: Event) -> Tensor:
        levels = batches.delta(number, stop)
        if kept is not None:
            kept.add(number, levels.numpy())  # here, so that it is kept whatever happens to the others
        return levels

    numbers = range(math.ceil(len(images) / size))
    there = {number: kept.find(number) for number in numbers} if kept is not None else {}
    found = {number: torch.from_numpy(part) for number, part in there.items() if part is not None}

    def report() -> None:
        if progress is not None:
            progress(sum(map(len, found.values())))

    def take(number: int, levels: Tensor) -> None:
        found[number] = levels
        report()

    if found:
        report()
    spread(make, [number for number in numbers if number not in found], threads, take)
    return torch.cat([found[number] for number in numbers]).to(torch.int16)


@dataclass(frozen=True)
class _Batches:
    """The batches of a set; arguments as of `set_delta`, with `size` images in each but the last."""

    surrogate: TorchGradients
    images: Tensor
    labels: Tensor
    settings: PgdSettings
    epsilon: int
    seed: int
    size: int

    def delta(self, number: int, stop: Event) -> Tensor:
        """Return the delta of a batch in levels, int8 (n, C, S, S) on the CPU.

        Raises:
            CancelledError: `stop` is set.
        """
        own = slice(number * self.size, (number + 1) * self.size)
        rng, where = np.random.default_rng((self.seed, number)), self.surrogate.device
        batch = self.images[own].to(where).float() / LEVELS
        delta = minimise(
            self.surrogate,
            gray(batch) if self.settings.channels == 1 else batch,
            self.labels[own].to(where),
            self.settings,
            until(stop, views_of(self.settings, rng, len(batch), batch.shape[-1])),
            epsilon=to_unit(self.epsilon),
            rng=rng,
        )
        levels: Tensor = (delta * LEVELS).round().to(torch.int8).cpu()
        return levels


def until(stop: Event, views: Iterable[View | None]) -> Iterator[View | None]:
    """Yield views, each asked for before a gradient, until an event is set.

    Raises:
        CancelledError: It is set.
    """
    for view in views:
        if stop.is_set():
            raise CancelledError
        yield view


def delta_identity(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: PgdSettings,
    *,
    epsilon: int = DEFAULT_EPSILON,
    seed: int = 0,
    device: str = "cpu",
) -> str:
    """Return a digest of all that decides what `set_delta` returns, whose arguments these are: 64 characters.

    Raises:
        DeviceUnavailable: torch can't use the device.
    """
    where = usable_device(device)
    drawn = settings, epsilon, seed, where.type, batch_size(where)
    packages = (_SCHEME, __version__, torch.__version__, np.__version__, has_bfloat16("cpu"))
    digest = hashlib.sha256(repr((drawn, packages, net)).encode())
    for name, value in (("images", images), ("labels", labels), *sorted(net.state_dict().items())):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()


def batch_size(device: torch.device) -> int:
    """Return how many images of 32 x 32 are perturbed at a time, by a thread of a CPU or on a device."""
    return BATCH if device.type == "cpu" else GPU_BATCH


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

    Each step takes the mean of the normalised gradients of a class in a batch of `CLASSWISE_BATCH` images
    (Huang et al., 'Unlearnable Examples', 2021). Unlike a samplewise delta, averaging a class exposes it.

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
    surrogate, rng = gradients_of(fused(net), where), np.random.default_rng(seed)
    shape = (classes, 1 if settings.gray else 3, *images.shape[2:])
    start = rng.uniform(-bound, bound, shape) if settings.random_start else np.zeros(shape)
    delta = surrogate.asarray(start.astype(np.float32))
    direction = torch.zeros_like(delta)
    weigh = weighing(surrogate, settings.jpeg_weights, delta.shape[-1])
    for _ in range(settings.steps):
        chosen = torch.from_numpy(rng.permutation(len(images))[:CLASSWISE_BATCH])
        batch = images[chosen].to(where).float() / LEVELS
        batch = gray(batch) if settings.channels == 1 else batch
        own = labels[chosen].to(where)
        gradient = torch.zeros_like(delta[own])
        for _ in range(settings.views):
            view = draw(settings.augment, rng, len(batch), batch.shape[-1], None)
            gradient += surrogate.gradient(batch, delta[own], own, view)
        gradient = weigh(gradient)
        gradient /= gradient.abs().mean((1, 2, 3), keepdim=True).clip(1e-12)
        share = torch.bincount(own, minlength=classes).clip(1)[:, None, None, None]
        mean = torch.zeros_like(delta).index_add_(0, own, gradient) / share
        direction = settings.momentum * direction + mean
        delta = (delta - settings.travel * bound / settings.steps * direction.sign()).clip(-bound, bound)
    if settings.saturate:
        delta = bound * (delta.sign() - 0.5 * direction.sign()).sign()
    return (delta * LEVELS).round().to(torch.int16).cpu()
