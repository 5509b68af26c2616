"""What the commands that need torch share."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ulecli.errors import DeviceUnavailable, MissingExtra, install_extra
from ulecli.system.devices import Device

if TYPE_CHECKING:
    import torch


def need_torch(*more: str) -> None:
    """Refuse to go on without torch, onnx and `more` packages of the extra.

    Raises:
        MissingExtra: one of them is not installed.
    """
    try:
        for package in ("onnx", "torch", *more):
            import_module(package)
    except ImportError as error:
        raise MissingExtra(f"this needs {error.name}: {install_extra('torch')}") from error


def torch_device(device: Device) -> torch.device:
    """Return the device that was asked for, or the best there is.

    Raises:
        DeviceUnavailable: torch can't use it here.
    """
    import torch

    usable = {Device.CUDA: torch.cuda.is_available(), Device.MPS: torch.backends.mps.is_available()}
    if device is Device.AUTO:
        return torch.device(next((kind.value for kind, there in usable.items() if there), "cpu"))
    if not usable.get(device, True):
        raise DeviceUnavailable(f"--device {device.value}: torch can't use one here; choose --device cpu")
    return torch.device(device.value)
