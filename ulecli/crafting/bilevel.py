"""Algorithm 1 of 'Going Grayscale': a surrogate learns a little, delta is improved on all images, and again.

Images and delta stay on the device as a whole, and everything is done batch by batch. On a CPU several
batches are perturbed at a time, each by one thread; the result is the same for any number of threads.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli import __version__
from ulecli.crafting.cropped_images import CroppedImages
from ulecli.crafting.settings import BilevelSettings
from ulecli.data.images import ImageSet
from ulecli.errors import UsageError
from ulecli.nets.devices import usable_device
from ulecli.nets.fusing import fused
from ulecli.nets.precision import has_bfloat16
from ulecli.nets.registry import NETS
from ulecli.nets.seeding import seeded
from ulecli.nets.threads import spread, torch_threads
from ulecli.nets.training_state import read_state, write_state
from ulecli.perturb.pgd import minimise
from ulecli.perturb.sets import batch_size, until
from ulecli.perturb.torch_gradients import TorchGradients
from ulecli.transforms.gray import gray
from ulecli.units import check_epsilon, to_unit

CHECKPOINT_AFTER = 30.0
"""Seconds since the last checkpoint after which the end of a round is another."""

Progress = Callable[[int, int, float], None]
"""Called with the number of the round, from 1, how many images were perturbed in it, and the surrogate's
error on these, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Crafted:
    """What the loop ends with.

    Attributes:
        delta: Unit scale within the bound, float16, on the CPU: (N, 1, H, W) under gray, else (N, 3, H, W);
            classwise (K, ...) for K classes.
        errors: The surrogate's error on the protected images after each round, 0 to 1.
        converged: Whether the last of them is small enough; if not, the loop ended at the most rounds.
    """

    delta: Tensor
    errors: tuple[float, ...]
    converged: bool


class Bilevel:
    """One run of the loop, which can be interrupted and taken up again.

    Attributes:
        net: The surrogate.
        delta: As in `Crafted`, but on the device.
        errors: As in `Crafted`.
    """

    def __init__(
        self,
        images: ImageSet,
        settings: BilevelSettings,
        *,
        net: str,
        epsilon: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Set up round 0.

        Args:
            images: The clean training set, of any size that the net takes.
            settings: How the loop runs.
            net: The surrogate, a key of `ulecli.nets.registry.NETS`.
            epsilon: L-infinity bound in levels.
            seed: Decides initial weights and delta, batches and augmentation.
            device: Where everything lies.

        Raises:
            UsageError: There is no such net, epsilon is out of range, or there are fewer than two classes.
            DeviceUnavailable: torch can't use the device.
        """
        if len(images.classes) < 2:
            raise UsageError("the surrogate needs images of at least two classes: with one it learns nothing")
        self._settings, self._device, self._seed = settings, usable_device(device), seed
        self._net, self._epsilon, self._classes = NETS.find(net), check_epsilon(epsilon), len(images.classes)
        self._side = (images.images.shape[2], images.images.shape[3])
        self._images = CroppedImages(images.images, self._device)
        self._labels = images.labels.to(self._device)
        self._rng = np.random.default_rng((seed, 0))
        self._order: Iterator[Tensor] = iter(())
        self._seen = 1 if settings.gray and self._sees_luma() else 3
        self._inner = replace(settings.inner, colour=settings.gray and self._seen == 3)
        self.net, self._optimizer = self._fresh()
        self.delta = self._first_delta()
        self.errors: list[float] = []
        self._identity = hashlib.sha256(
            f"{settings} {net} {epsilon} {seed} {images.digest} {self._device.type} {__version__} "
            f"{torch.__version__} {np.__version__}".encode()
        ).hexdigest()

    def run(self, checkpoint: Path | None = None, progress: Progress | None = None) -> Crafted:
        """Go on to the end.

        Args:
            checkpoint: Taken up if it is of this very run, written now and then, and left for the caller to
                delete; None for nowhere.
            progress: Called now and then.

        Raises:
            TargetError: The checkpoint can't be written.
        """
        if checkpoint is not None:
            self._resume(checkpoint)
        last = time.monotonic()
        while not self.converged and len(self.errors) < self._settings.rounds:
            self.round(progress)
            if checkpoint is not None and time.monotonic() - last >= CHECKPOINT_AFTER:
                self._save(checkpoint)
                last = time.monotonic()
        return Crafted(self.delta.cpu(), tuple(self.errors), self.converged)

    @property
    def converged(self) -> bool:
        """Whether the surrogate's error after the last round is small enough."""
        return bool(self.errors) and self.errors[-1] <= self._settings.stop_error

    def round(self, progress: Progress | None = None) -> None:
        """Let the surrogate learn, improve delta, and note the surrogate's error."""
        if self._settings.restart:
            self.net, self._optimizer = self._fresh()
        with torch_threads(1):  # so that sums are formed alike for any number of them; it is little work
            self._learn()
        frozen = TorchGradients(fused(self.net), self._device, autocast=self._autocast)
        if self._settings.classwise:
            self._perturb_classes(frozen)
        wrong = done = 0

        def work(number: int, stop: Event) -> tuple[int, int]:
            return self._perturb(frozen, number, stop)

        def take(number: int, judged: tuple[int, int]) -> None:
            nonlocal wrong, done
            wrong, done = wrong + judged[0], done + judged[1]
            if progress is not None:
                progress(len(self.errors) + 1, done, wrong / done)

        threads = torch.get_num_threads() if self._device.type == "cpu" else 1
        spread(work, range(math.ceil(len(self._labels) / self._batch)), threads, take)
        self.errors.append(wrong / len(self._labels))

    def _learn(self) -> None:
        """Take the surrogate's training steps of a round on images + delta."""
        self.net.train()
        surrogate = TorchGradients(self.net, self._device, autocast=self._autocast)
        for _ in range(self._settings.training_steps):
            chosen = self._next_batch()
            shown = (self._clean(chosen, self._rng) + self._own(chosen)).clip(0, 1)
            loss = functional.cross_entropy(surrogate.logits(shown), self._labels[chosen])
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.net.parameters(), self._settings.clip)
            self._optimizer.step()

    def _perturb(self, frozen: TorchGradients, number: int, stop: Event) -> tuple[int, int]:
        """Improve delta of a batch; return on how many of its images the surrogate errs, and of how many."""
        chosen = torch.arange(number * self._batch, min((number + 1) * self._batch, len(self._labels)))
        chosen, labels = chosen.to(self._device), self._labels[chosen]
        rng = np.random.default_rng((self._seed, 1, len(self.errors), number))
        if not self._settings.classwise:
            found = minimise(
                frozen,
                self._clean(chosen, rng),
                labels,
                self._inner,
                until(stop, repeat(None)),
                epsilon=to_unit(self._epsilon),
                rng=rng,
                start=self._own(chosen),
            )
            self.delta[chosen] = found.half()
        shown = (self._clean(chosen, rng) + self._own(chosen)).clip(0, 1)
        with torch.no_grad():
            wrong = int((frozen.logits(shown).argmax(1) != labels).sum())
        return wrong, len(chosen)

    def _perturb_classes(self, frozen: TorchGradients) -> None:
        """Improve classwise delta: each batch moves it by the sign of the mean gradient of each class."""
        bound, settings = to_unit(self._epsilon), self._settings
        rng = np.random.default_rng((self._seed, 1, len(self.errors)))
        for part in torch.split(torch.from_numpy(rng.permutation(len(self._labels))), settings.batch_size):
            chosen = part.to(self._device)
            labels = self._labels[chosen]
            gradient = frozen.gradient(self._clean(chosen, rng), self._own(chosen), labels, None)
            total = torch.zeros_like(self.delta, dtype=torch.float32).index_add_(0, labels, gradient)
            self.delta = (self.delta - settings.step * bound * total.sign()).clip(-bound, bound).half()

    def _clean(self, chosen: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the chosen images as the surrogate sees them without delta, unit scale, augmented anew."""
        images = self._images.batch(chosen, rng if self._settings.augment else None)
        return gray(images).expand(-1, self._seen, -1, -1) if self._settings.gray else images

    def _own(self, chosen: Tensor) -> Tensor:
        """Return delta of the chosen images, (B, C, H, W) float32."""
        return self.delta[self._labels[chosen] if self._settings.classwise else chosen].float()

    def _next_batch(self) -> Tensor:
        """Return the places of the next mini-batch; when all images were drawn, they are shuffled anew."""
        batch = next(self._order, None)
        if batch is None:
            order = torch.from_numpy(self._rng.permutation(len(self._labels))).to(self._device)
            self._order = iter(torch.split(order, self._settings.batch_size))
            batch = next(self._order)
        return batch

    def _fresh(self) -> tuple[nn.Sequential, torch.optim.SGD]:
        """Return a surrogate with freshly drawn weights, and its optimizer."""
        with seeded(int(self._rng.integers(2**31))):
            net = self._built(self._seen)
        net = net.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        settings = self._settings
        optimizer = torch.optim.SGD(
            net.parameters(), lr=settings.rate, momentum=settings.momentum, weight_decay=settings.decay
        )
        return net, optimizer

    def _built(self, channels: int) -> nn.Sequential:
        return self._net.build_for(self._side[0], channels=channels, classes=self._classes)

    def _sees_luma(self) -> bool:
        """Return whether there is a form of the net for one channel; others are shown three equal ones."""
        try:
            with seeded(0):
                self._built(channels=1)
        except UsageError:
            return False
        return True

    def _first_delta(self) -> Tensor:
        count = self._classes if self._settings.classwise else len(self._labels)
        shape, bound = (count, 1 if self._settings.gray else 3, *self._side), to_unit(self._epsilon)
        if not self._settings.random_start:
            return torch.zeros(shape, dtype=torch.float16, device=self._device)
        drawn = torch.empty(shape, dtype=torch.float16)
        for place in range(count):  # in parts, since numpy draws no half precision
            drawn[place] = torch.from_numpy(self._rng.uniform(-bound, bound, shape[1:]))
        return drawn.to(self._device)

    @property
    def _batch(self) -> int:
        """Images perturbed at a time."""
        return max(1, batch_size(self._device) * 32 * 32 // math.prod(self._side))

    @property
    def _autocast(self) -> bool:
        # Dense layers gain nothing from bfloat16; see `ulecli.perturb.torch_gradients.gradients_of`.
        convolves = any(isinstance(layer, nn.Conv2d) for layer in self.net.modules())
        return convolves and has_bfloat16(self._device.type)

    def _save(self, checkpoint: Path) -> None:
        left = list(self._order)
        state = {
            "identity": self._identity,
            "net": self.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "order": left,
            "delta": self.delta,
            "errors": self.errors,
        }
        self._order = iter(left)
        write_state(checkpoint, state, self._rng)

    def _resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint; what is damaged or of another run is as none."""
        state = read_state(checkpoint, self._device)
        if state is None or state.get("identity") != self._identity:
            return
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = state["rng"]
        self._order, self.delta, self.errors = iter(state["order"]), state["delta"], state["errors"]
