"""What is stored of images and their delta."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.units import LEVELS

_CHUNK = 1000
"""Images stored at a time, which limits the memory."""

_DIGITS = 2
"""Decimals of a level that delta has: half precision keeps no more."""

_GRAY_SUM = 0.2989 + 0.587 + 0.114
"""Sum of the weights of the gray filter that the published code sends a tied delta through: 0.9999."""


def stored(images: ImageSet, delta: Tensor, *, published: bool = False) -> ImageSet:
    """Return images + delta as uint8 stores them: rounded once, clamped to 0 to 255.

    Args:
        images: The clean ones.
        delta: (N, 1 or 3, H, W), unit scale; or (K, ...), one for each class, which goes to its images.
        published: Store as the published code of EM, ULEO and ULEO-GrayAugs does: negative values of delta
            are set to 0 before it is added, and the sum is truncated. So a delta of +-8 levels becomes one of
            0 and +8, or, tied across RGB, of 0 and +7.
    """
    whole = torch.empty_like(images.images)
    for part in torch.split(torch.arange(len(images)), _CHUNK):
        own = delta[part if len(delta) == len(images) else images.labels[part]].float() * LEVELS
        if published:
            own = own.mul(10**_DIGITS).round().div(10**_DIGITS).clamp(min=0)
            own = (own * _GRAY_SUM if own.shape[1] == 1 else own).floor()
        whole[part] = (images.images[part] + own.round()).clamp(0, LEVELS).to(torch.uint8)
    return replace(images, images=whole)
