"""What did the work of a training, in words, for its record."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

from ulecli import __version__
from ulecli.nets.precision import has_bfloat16


def device_name(device: str, threads: int) -> str:
    """Return what a torch device of this machine is called.

    Args:
        device: As torch writes it.
        threads: Of the CPU.
    """
    if device == "cpu":
        precision = "" if has_bfloat16(device) else ", float32"
        return f"cpu, {threads} thread{'s' if threads > 1 else ''}{precision}"
    name: str = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return name


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Return the version of everything that has a say in the figures of a training, by name.

    Args:
        more: Packages beside those that always have one.
    """
    found = {"ulecli": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("torchvision", "numpy", "pillow", *more):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
