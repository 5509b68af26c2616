"""Poisons made with a net that was trained on the clean images: AdvPois, and error-maximising noise.

Both are ordinary PGD against a frozen net. Exploiters need several epochs to fall for them, so whoever can
stop early, on clean validation images, escapes (section 5.2 of 'Going Grayscale').
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli.crafting.cropped_images import CroppedImages
from ulecli.crafting.settings import SHIFT
from ulecli.data.images import ImageSet
from ulecli.errors import UsageError
from ulecli.nets.devices import usable_device
from ulecli.nets.precision import has_bfloat16
from ulecli.nets.registry import NETS
from ulecli.nets.seeding import seeded
from ulecli.perturb.settings import PgdSettings
from ulecli.transforms.views import ViewPolicy

EPOCHS, BATCH = 10, 128
"""Of the training on clean images; the published AdvPois trains its ResNet-18 four times as long."""

LEAST_STEPS = 400
"""Mini-batches that it takes at least, since a small set has few in an epoch."""

RATE, MOMENTUM, DECAY, CLIP = 0.05, 0.9, 5e-4, 5.0


def attack(side: int) -> PgdSettings:
    """Return the PGD of AdvPois (Fowl et al., 2021): free RGB, the attacked image cropped and flipped.

    The published attack takes 250 steps; with momentum these go as far.

    Args:
        side: Of the images, in pixels.
    """
    seen = ViewPolicy(sizes=(side,), shift=SHIFT)
    return PgdSettings(steps=40, travel=4.0, momentum=0.75, random_start=True, gray=False, augment=seen)


def next_class(labels: Tensor, classes: int) -> Tensor:
    """Return the target of each image, (N,) int64: the class after its own, so that each has one source."""
    return (labels + 1) % classes


def away_from_class(labels: Tensor, classes: int) -> Tensor:
    """Return what a net's logits are moved against, (N, K) float32, to raise its error on the own class.

    The inner product with it is the logit of the own class above the mean of the others. Minimising that is
    untargeted; unlike the negative cross-entropy it has a gradient where the net is sure.
    """
    own = functional.one_hot(labels, classes).float()
    return own - (1 - own) / (classes - 1)


def trained_net(
    name: str,
    images: ImageSet,
    *,
    seed: int,
    device: torch.device | str,
    epochs: int = EPOCHS,
    progress: Callable[[int, int], None] | None = None,
) -> nn.Sequential:
    """Train a net on clean images as exploiters do, by SGD with random crops and flips.

    Args:
        name: A key of `ulecli.nets.registry.NETS`.
        images: The clean training set, of a size that the net takes.
        seed: Decides weights, order and augmentation.
        device: Where to train.
        epochs: How long, if that is no less than `LEAST_STEPS` mini-batches.
        progress: Called after each mini-batch with their number, and that of all there are.

    Returns:
        The net, frozen and in evaluation mode; from (N, 3, H, W), unit scale, to logits (N, K).

    Raises:
        UsageError: There is no such net, or there are fewer than two classes.
        DeviceUnavailable: torch can't use the device.
    """
    if len(images.classes) < 2:
        raise UsageError("a net needs images of at least two classes: with one it learns nothing")
    found, where, rng = NETS.find(name), usable_device(device), np.random.default_rng((seed, 2))
    with seeded(int(rng.integers(2**31))):
        net: nn.Sequential = found.build_for(images.images.shape[2], channels=3, classes=len(images.classes))
    net = net.to(where).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shown, labels = CroppedImages(images.images, where), images.labels.to(where)
    steps = max(LEAST_STEPS, epochs * (len(labels) // BATCH))
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    order = Tensor()
    for step in range(steps):
        if len(order) < min(BATCH, len(labels)):
            order = torch.from_numpy(rng.permutation(len(labels))).to(where)
        chosen, order = order[:BATCH], order[BATCH:]
        batch = shown.batch(chosen, rng).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, 10 * (step + 1) / steps, 2 * (1 - step / steps))
        with torch.autocast(where.type, torch.bfloat16, enabled=has_bfloat16(where.type)):
            logits = net(batch)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(logits.float(), labels[chosen]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        if progress is not None:
            progress(step + 1, steps)
    net.eval().requires_grad_(False)
    return net
