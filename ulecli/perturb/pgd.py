"""The inner minimisation of Equation 3: PGD on delta, written once for every backend.

`Gradients` knows the surrogate and its arithmetic (torch tensors on some device, or numpy arrays around an
onnxruntime session); this loop knows neither. All randomness comes from one numpy generator, so that two
backends which are given the same seed walk through the same views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.spectrum import block_dct, jpeg_weights
from ulecli.transforms.views import Floats, View, ViewPolicy

Array = Any
"""A float array (N, C, S, S) of the surrogate's own library: numpy.ndarray or torch.Tensor."""


class Gradients(Protocol):
    """A surrogate that answers with gradients."""

    def asarray(self, values: NDArray[Any]) -> Array:
        """Return numpy values as an array of the surrogate's library, on its device."""
        ...

    def asnumpy(self, values: Array) -> Floats:
        """Return such an array as numpy's, on the host."""
        ...

    def sign(self, values: Array) -> Array:
        """Return -1, 0 or 1 for each value."""
        ...

    def gradient(self, images: Array, delta: Array, targets: Array, view: View | None) -> Array:
        """Return the gradient of the summed loss of ``view(stored(clip(images + delta, 0, 1)))``.

        It is by delta, passes straight through the JPEG or posterising of the storage, and is 0 for a pixel
        beyond 0 or 1 that a step along it would not lead back.

        Args:
            images: (N, C, S, S), unit scale.
            delta: (N, C, S, S), or (N, 1, S, S) for one value tied across the channels; unit scale.
            targets: (N,) integers: classes, and the loss is the cross-entropy. Or (N, D) floats: directions,
                and the loss is the inner product of each with the features.
            view: What the images go through; None for nothing.

        Returns:
            Of the shape of delta.
        """
        ...


class FeatureGradients(Gradients, Protocol):
    """A surrogate that has features, and answers with the gradients of directions in them."""

    def features(self, images: Array) -> Floats:
        """Return the features (N, D) of images (N, C, h, w), unit scale, of a size that the net takes."""
        ...


def minimise(
    surrogate: Gradients,
    images: Array,
    targets: Array,
    settings: PgdSettings,
    views: Iterable[View | None],
    *,
    epsilon: float | Array,
    rng: np.random.Generator,
    start: Array | None = None,
) -> Array:
    """Find samplewise delta that minimise the surrogate's loss.

    Each step normalises the gradient of every image to mean absolute value 1, adds it to the decaying sum of
    the earlier ones (the momentum of Dong et al., 2018), moves by the sign, and projects to the L-infinity
    ball. The result is two-sided; only the caller rounds it, once.

    Args:
        surrogate: What answers with gradients.
        images: (N, C, S, S) of the surrogate's library, unit scale; C is `settings.channels`.
        targets: Of the surrogate's library; see `Gradients.gradient`.
        settings: Steps, momentum and the like.
        views: What the images go through, one for each gradient: see `views_of`.
        epsilon: L-infinity bound, unit scale: one for all, or one for each cell, (N, 1, S, S) of the
            surrogate's library. A random start needs one for all.
        rng: Draws the start, before the first view is asked for.
        start: Delta to go on from, of the shape of the result; None for zero, or as the settings say.

    Returns:
        (N, C, S, S) of the surrogate's library, or (N, 1, S, S) where delta is tied; within
        [-epsilon, epsilon].
    """
    shape = (len(images), 1 if settings.gray else images.shape[1], *images.shape[2:])
    delta = start
    if delta is None:
        delta = surrogate.asarray(_start(rng, shape, epsilon if settings.random_start else 0.0))
    momentum = delta * 0
    step_size = settings.travel * epsilon / settings.steps
    upcoming, weigh = iter(views), weighing(surrogate, settings.jpeg_weights, shape[-1])
    for _ in range(settings.steps):
        gradient = delta * 0
        for view in islice(upcoming, settings.views):
            gradient = gradient + surrogate.gradient(images, delta, targets, view)
        momentum = accumulated(momentum, weigh(gradient), settings.momentum)
        delta = (delta - step_size * surrogate.sign(momentum)).clip(-epsilon, epsilon)
    if settings.saturate:
        # A cell that came back to 0 goes where the next step would have taken it.
        delta = epsilon * surrogate.sign(surrogate.sign(delta) - 0.5 * surrogate.sign(momentum))
    return delta


def weighing(surrogate: Gradients, quality: int, cells: int) -> Callable[[Array], Array]:
    """Return what weighs the frequencies of gradients (N, C, S, S) by what JPEG leaves of them.

    Args:
        surrogate: Of whose library the gradients are.
        quality: Of the JPEG; 0 leaves gradients as they are.
        cells: Their side S.

    Raises:
        UsageError: They are not made of whole blocks.
    """
    if not quality:
        return lambda gradient: gradient
    basis = surrogate.asarray(block_dct(cells))
    weights = surrogate.asarray(jpeg_weights(cells, quality))
    return lambda gradient: basis.T @ ((basis @ gradient @ basis.T) * weights) @ basis


def accumulated(momentum: Array, gradient: Array, share: float) -> Array:
    """Return the momentum after a gradient, (N, C, S, S): of each image a mean absolute value of 1 is added.

    Args:
        momentum: Sum of the earlier gradients.
        gradient: Of the same shape.
        share: What is kept of the momentum.
    """
    # Both libraries know these names: torch takes numpy's `axis` and `keepdims`.
    size = abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
    return share * momentum + gradient / size.clip(1e-12)


def views_of(
    settings: PgdSettings,
    rng: np.random.Generator,
    count: int,
    cells: int,
    aspects: Floats | None = None,
) -> Iterator[View | None]:
    """Draw the views of all gradients of a `minimise`, each when it is asked for.

    Args:
        settings: Steps, views and what the images go through.
        rng: Draws them.
        count: Number N of images, each with views of its own; 1 draws views that a whole batch shares, so
            that an image's delta does not depend on which others it is computed with.
        cells: Side of the square working image.
        aspects: (N,) width / height of the photos before they were squeezed; None for square.
    """
    for _ in range(settings.steps * settings.views):
        yield draw(settings.augment, rng, count, cells, aspects)


def draw(
    policy: ViewPolicy | None, rng: np.random.Generator, count: int, cells: int, aspects: Floats | None
) -> View | None:
    """Draw a view for `count` images of `cells` x `cells`; without a policy they are seen as they are."""
    return None if policy is None else policy.draw(rng, count, cells, aspects=aspects)


def _start(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> Floats:
    if not radius:
        return np.zeros(shape, np.float32)
    return rng.uniform(-radius, radius, shape).astype(np.float32)
