"""Which images of the training set the values of a poison are for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import UleError, shown
from ulecli.evaluation.poisons.content import PoisonKind, scale_of
from ulecli.evaluation.poisons.files import Arrays
from ulecli.evaluation.poisons.matching import match, nearer_to_others


def align(values: Tensor, found: Arrays, clean: ImageSet, kind: PoisonKind, path: Path) -> Tensor | None:
    """Return the clean image that each value is for.

    Images with labels may be in an order of their own: where the labels, or what the images look like, don't
    fit the official order, each image goes to the clean one of its label that it was made from.

    Args:
        values: (n, C, H, W) as `content.interpret` takes them, finite.
        found: What was read, with labels and indices.
        clean: The training set.
        kind: What the user says that the values are.
        path: The source, for messages.

    Returns:
        (n,) int64 places; None where there is one value for each class.

    Raises:
        UleError: The labels or indices are none of this set, or nothing says which images are poisoned.
    """
    labels = found.labels
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < len(clean.classes):
        raise UleError(
            f"the labels in {shown(path)} go from {int(labels.min())} to {int(labels.max())}, but those of "
            f"the training set from 0 to {len(clean.classes) - 1}: of another data set, or counted from 1"
        )
    places = _stated(values, found, clean, path)
    if places is None and len(values) == len(clean.classes) and kind is not PoisonKind.IMAGES:
        return None
    if labels is not None and kind is not PoisonKind.PERTURBATION:
        places = _by_looks(values, labels, clean, places)
    if places is None:
        raise UleError(
            f"{shown(path)} holds {len(values)} images where the training set has {len(clean)}; a part of it "
            "needs an array called indices beside it"
        )
    return places


def _stated(values: Tensor, found: Arrays, clean: ImageSet, path: Path) -> Tensor | None:
    """Return the places that the file states or its length implies; None where nothing says them."""
    places = found.indices
    if places is None:
        return torch.arange(len(clean)) if len(values) == len(clean) else None
    if int(places.min()) < 0 or int(places.max()) >= len(clean) or len(torch.unique(places)) < len(values):
        raise UleError(
            f"the indices in {shown(path)} must be {len(values)} different ones of 0 to {len(clean) - 1}"
        )
    return places


def _by_looks(values: Tensor, labels: Tensor, clean: ImageSet, stated: Tensor | None) -> Tensor | None:
    """Return the places by labels and looks; those stated where they fit, or where no others are found."""
    low, scale = scale_of(values)
    if low < 0:  # no images
        return stated
    if stated is not None and nearer_to_others(values, clean.images[stated], scale) <= 0.5:
        return stated  # in order, even if labels were changed
    found = match(values, labels, clean, scale)
    return stated if found is None else found
