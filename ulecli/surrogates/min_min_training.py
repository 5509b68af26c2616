"""Amortised min-min training: Equation 3 of 'Going Grayscale' without any per-image state.

The paper keeps a delta for every image and improves all of them between short trainings of the surrogate.
Here every batch makes its delta afresh, by a few PGD steps against the surrogate of that moment, and the
surrogate then takes one step on images + delta. Nothing is remembered but the surrogate, so that, frozen, it
protects images that it has never seen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli.data.images import ImageSet
from ulecli.errors import UleError, UsageError, shown
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.nets.training_state import read_state, write_state
from ulecli.perturb.pgd import draw, minimise, views_of
from ulecli.perturb.torch_gradients import gradients_of, look
from ulecli.surrogates.recipe import Recipe
from ulecli.surrogates.training_images import WorkingImages
from ulecli.units import to_unit

CHECKPOINT_EVERY = 100
"""Steps between two checkpoints, at most; a few seconds of work for a small net on a fast machine."""

CHECKPOINT_AFTER = 15.0
"""Seconds without a checkpoint after which there is one, where steps are slow."""

Progress = Callable[[int, float, float], None]
"""Called after each step with the number of steps done, the loss, and the share of right answers so far."""


class Training:
    """One training that can be interrupted and taken up again.

    Attributes:
        net: The surrogate.
        done: Steps taken.
        accuracy: Running share of the batch that the surrogate gets right on images + delta, 0 to 1.
    """

    def __init__(self, recipe: Recipe, data: ImageSet, *, seed: int, device: torch.device) -> None:
        """Set up step 0.

        Args:
            recipe: What to train, and how.
            data: Images and their classes.
            seed: Decides initial weights, batches, random labels, views and starts.
            device: Where everything runs; convolutions in bfloat16 on the CPU.

        Raises:
            UsageError: there are fewer than two classes.
        """
        self.recipe, self.seed, self.device = recipe, (seed, 0), device
        self.classes = len(data.classes)
        if self.classes < 2:
            raise UsageError(
                "training needs pictures of at least two classes: with one there is nothing to learn"
            )
        channels = recipe.training.channels
        settings = dict(recipe.net)
        self.rng = np.random.default_rng(self.seed)
        with seeded(int(self.rng.integers(2**31))):
            net = make_net(settings.pop("name"), channels=channels, classes=self.classes, **settings)
        self.net: nn.Sequential = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images = WorkingImages(data.images, recipe.source, channels=channels, device=device)
        self.labels = data.labels
        self.surrogate = gradients_of(self.net, device)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=recipe.rate, momentum=0.9, nesterov=True, weight_decay=recipe.decay
        )
        self._data = hashlib.sha256(data.images.numpy().tobytes() + data.labels.numpy().tobytes()).hexdigest()
        self.done, self.accuracy = 0, 0.0

    def run(self, checkpoint: Path | None = None, progress: Progress | None = None) -> nn.Sequential:
        """Train to the end and return the frozen surrogate, in evaluation mode.

        Args:
            checkpoint: Taken up if it exists, written now and then, and left for the caller to delete.
            progress: Called after every step.

        Raises:
            UsageError: the checkpoint belongs to another recipe, seed or data set.
            UleError: the checkpoint is damaged.
            TargetError: it can't be written.
        """
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint)
        last = time.monotonic()
        while self.done < self.recipe.batches:
            loss = self.step()
            if progress is not None:
                progress(self.done, loss, self.accuracy)
            late = time.monotonic() - last >= CHECKPOINT_AFTER
            if checkpoint is not None and (late or self.done % CHECKPOINT_EVERY == 0):
                self._save(checkpoint)
                last = time.monotonic()
        return self.frozen()

    def step(self) -> float:
        """Make a batch's delta, take one step of the surrogate on it, and return the loss."""
        recipe = self.recipe
        images, labels = self._batch()
        self._freeze(True)
        inner, epsilon = recipe.training, to_unit(self._epsilon())
        views = views_of(inner, self.rng, len(images), recipe.grid)
        delta = minimise(self.surrogate, images, labels, inner, views, epsilon=epsilon, rng=self.rng)
        self._freeze(False)
        view = draw(recipe.training.augment, self.rng, len(images), recipe.grid, None)
        logits = self.surrogate.logits(look((images + delta).clip(0, 1), view))
        loss = functional.cross_entropy(logits, labels)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate * self._warmth()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        right = (logits.argmax(1) == labels).float().mean().item()
        self.accuracy += (right - self.accuracy) * max(0.05, 1 / (self.done + 1))
        self.done += 1
        return loss.item()

    def _batch(self) -> tuple[Tensor, Tensor]:
        recipe, rng = self.recipe, self.rng
        indices = torch.from_numpy(rng.integers(0, self.images.count, recipe.batch_size))
        guided = self.done < recipe.guided * recipe.batches
        images, labels = self.images.batch(indices, rng), self.labels[indices]
        if not guided and rng.random() < recipe.random_labels:
            labels = torch.from_numpy(rng.integers(0, self.classes, recipe.batch_size))
        return images, labels.to(self.device)

    def _epsilon(self) -> float:
        left = max(0.0, 1 - self.done / (0.5 * self.recipe.batches))
        return self.recipe.epsilon + (self.recipe.first_epsilon - self.recipe.epsilon) * left

    def _warmth(self) -> float:
        position = (self.done + 1) / self.recipe.batches
        return min(position / 0.2, (1 - position) / 0.8 + 1e-3)

    def _freeze(self, frozen: bool) -> nn.Sequential:
        self.net.train(not frozen).requires_grad_(not frozen)
        return self.net

    def frozen(self) -> nn.Sequential:
        """Return the surrogate as it is, in evaluation mode and without gradients of its weights."""
        return self._freeze(True)

    @property
    def identity(self) -> str:
        """All that decides the training but device, threads and versions, in words."""
        return repr(self._identity())

    def _identity(self) -> dict[str, Any]:
        # Words on the card, and what comes after the training, don't change what is trained.
        core = replace(self.recipe, purpose="", limits=(), protection=self.recipe.training)
        return asdict(core) | {"seed": self.seed, "data": self._data}

    def _save(self, checkpoint: Path) -> None:
        state = {
            "identity": self.identity,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "accuracy": self.accuracy,
        }
        write_state(checkpoint, state, self.rng)

    def _resume(self, checkpoint: Path) -> None:
        state = read_state(checkpoint, self.device)
        if state is None:
            raise UleError(f"{shown(checkpoint)} is damaged; delete it to start anew")
        if state.get("identity") != self.identity:
            raise UsageError(
                f"{shown(checkpoint)} is of a training with another recipe or seed or other pictures; "
                "delete it to start anew"
            )
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.done, self.accuracy = state["done"], state["accuracy"]
