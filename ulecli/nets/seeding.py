"""The one way to draw from torch's global generator, which is where nets take their first weights from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator for as long as the block runs, then put back what it was.

    Args:
        seed: Any integer that torch takes, 0 or more.
    """
    # Only the CPU's: nets are built there and moved, and other devices' generators are not ours to touch.
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        yield
