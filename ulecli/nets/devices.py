"""The devices that torch can use here, and what they are called."""

from __future__ import annotations

import torch

from ulecli.errors import DeviceUnavailable


def usable_device(device: torch.device | str) -> torch.device:
    """Return a device that torch can use.

    Args:
        device: As torch names it, or "auto" for the best there is.

    Raises:
        DeviceUnavailable: torch knows no such device, or there is none.
    """
    if str(device) == "auto":
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((name for name, found in there.items() if found), "cpu"))
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DeviceUnavailable(f"torch can't use the device '{device}' here ({reason}): take cpu") from error
    return torch.device(device)


def device_name(device: torch.device | str) -> str:
    """Return what a device is called: a GPU by its model, others as torch names them."""
    named = str(device)
    return str(torch.cuda.get_device_name(named)) if named.startswith("cuda") else named
