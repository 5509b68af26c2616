"""Clean images that exploiters validate on, to stop at the best epoch ('Going Grayscale', section 5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import UsageError, shown

MOST = 0.5
"""Largest share of a data set's training images that may be validated on."""

_SEED = 52
"""Of the draw: one for all trainings, so that they have the same images to validate and to train on."""


def validation_places(images: ImageSet, share: float) -> Tensor:
    """Return the places of the images that are validated on in place of being trained on.

    Args:
        images: All training images of a data set.
        share: Of each class, 0 to `MOST`.

    Returns:
        (n,) int64, in ascending order; empty for a share of 0.

    Raises:
        UsageError: The share leaves a class without such an image.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(_SEED))
    chosen = []
    for label, name in enumerate(images.classes if share else ()):
        own = order[images.labels[order] == label]
        if not (count := round(share * len(own))):
            raise UsageError(
                f"--validation {share:g} of the {len(own)} images of class {shown(name)} is none: take a "
                "larger share, or add images"
            )
        chosen.append(own[:count])
    return torch.cat(chosen).sort().values if chosen else torch.arange(0)
