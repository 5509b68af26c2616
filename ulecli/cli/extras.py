"""What the commands that need an extra share."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from ulecli.errors import DeviceUnavailable, MissingExtra, install_extra
from ulecli.system.devices import Device

if TYPE_CHECKING:
    import torch


Visibility = Annotated[
    bool | None,
    typer.Option(
        "--visibility/--no-visibility",
        help="Measure what an eye sees at 1080 pixels, SSIMULACRA2 and FLIP: some 4 s a photo. Default: "
        "where the extra measure is installed.",
    ),
]
"""The option of commands that measure with the extra `measure`."""


RayAddress = Annotated[
    str, typer.Option(metavar="HOST:PORT|auto", help="A Ray cluster. Default: one is started for this run.")
]
"""The option of commands whose work Ray can do."""


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
    from ulecli.nets.devices import usable_device

    try:
        return usable_device(device.value)
    except DeviceUnavailable as error:
        raise DeviceUnavailable(
            f"--device {device.value}: torch can't use one here; choose --device cpu"
        ) from error
