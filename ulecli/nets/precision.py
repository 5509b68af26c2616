"""Which processors compute in bfloat16 themselves."""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_bfloat16(device_type: str) -> bool:
    """Return whether a type of device computes in bfloat16 itself.

    A CPU without such instructions imitates them, which took ten times as long a step as float32.
    """
    if device_type != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, object])()  # not in every torch
    return any(there is True for name, there in capabilities.items() if "bf16" in name)
