"""What is stored of a delta."""

from __future__ import annotations

import torch
from torch import Tensor

from ulecli.units import LEVELS

_CHUNK = 1000
"""Deltas rounded at a time, which limits the memory."""

_DIGITS = 2
"""Decimals of a level that delta has: half precision keeps no more."""

_GRAY_SUM = 0.2989 + 0.587 + 0.114
"""Sum of the weights of the gray filter that the published code sends a tied delta through: 0.9999."""


def whole_levels(delta: Tensor, *, published: bool = False) -> Tensor:
    """Return a delta in whole levels, int16: rounded once.

    Args:
        delta: (N, 1 or 3, H, W), unit scale.
        published: Store as the published code of EM, ULEO and ULEO-GrayAugs does: negative values of delta
            are set to 0 before it is added, and the sum is truncated. So a delta of +-8 levels becomes one of
            0 and +8, or, tied across RGB, of 0 and +7.
    """
    whole = torch.empty_like(delta, dtype=torch.int16)
    for place, part in zip(torch.split(whole, _CHUNK), torch.split(delta, _CHUNK), strict=True):
        own = part.float() * LEVELS
        if published:
            own = own.mul(10**_DIGITS).round().div(10**_DIGITS).clamp(min=0)
            own = (own * _GRAY_SUM if own.shape[1] == 1 else own).floor()
        place.copy_(own.round())
    return whole
