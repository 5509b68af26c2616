"""In which precision nets compute: which processors have bfloat16, and float32 without rounding."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache

import torch

_lock = threading.Lock()
_inside = 0
"""How many threads are inside `exact_float32`."""

_before = False
"""What the first of them found."""


@cache
def has_bfloat16(device_type: str) -> bool:
    """Return whether a type of device computes in bfloat16 itself.

    A CPU without such instructions imitates them, which took ten times as long a step as float32.
    """
    if device_type != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, object])()  # not in every torch
    return any(there is True for name, there in capabilities.items() if "bf16" in name)


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Let convolutions of float32 compute in float32.

    NVIDIA GPUs round their factors to 10 bits otherwise (TF32), differently for every size of batch. Where
    only the sign of a gradient counts, four cells in ten then came out otherwise than on a CPU. The setting
    belongs to the process: the first thread that enters makes it, the last that leaves takes it back.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.backends.cudnn.allow_tf32 = _before
