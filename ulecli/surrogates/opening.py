"""Error-minimising perturbations: one loop, two backends, and the door through which `protect` comes in.

Heavy packages are imported only by the backend that needs them: protection on a CPU runs without torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ulecli.errors import DeviceUnavailable, UsageError, install_extra
from ulecli.perturb.perturber import Perturber
from ulecli.system.devices import Device

if TYPE_CHECKING:
    from ulecli.perturb.pgd import FeatureGradients

    Way = tuple[FeatureGradients, str]
    """The net of a surrogate on a device, and that device in words."""

BACKENDS = ("onnxruntime", "torch")


def open_perturber(
    name: str, *, device: Device = Device.AUTO, threads: int = 1, backend: str | None = None
) -> Perturber:
    """Load a surrogate and make it ready to perturb photos.

    Args:
        name: Of the surrogate.
        device: Where the gradient steps shall run; `auto` takes a GPU if there is one, else the CPU.
        threads: CPU threads for one photo; photos in work at the same time need one each.
        backend: One of `BACKENDS`; None takes onnxruntime where it can use the device, else torch.

    Returns:
        A perturber that says which device does the work.

    Raises:
        ModelError: the surrogate is unknown, damaged or changed.
        UsageError: the surrogate is for data sets.
        DeviceUnavailable: the device or backend can't be had.
    """
    from ulecli.surrogates.feature_perturber import FeaturePerturber
    from ulecli.surrogates.store import load_card

    card = load_card(name)
    if "directions" not in card.protocol:
        raise UsageError(
            f"the surrogate '{name}' is for data sets (ulecli evaluate) or of an older ulecli, not for "
            "photos; take the 'photo' that ships"
        )
    gradients, words = _way(name, device, threads, backend)
    return FeaturePerturber(gradients, card, words)


def _way(name: str, device: Device, threads: int, backend: str | None) -> Way:
    wanted = [device] if device is not Device.AUTO else [Device.CUDA, Device.MPS, Device.CPU]
    if device is Device.AUTO and not _accelerator_in_sight():
        wanted = [Device.CPU]  # spares a run on a plain laptop the second that importing torch takes
    failure = DeviceUnavailable(_unavailable(device))
    for kind in wanted:
        for candidate in (backend,) if backend else _backends(kind):
            try:
                way = (_with_onnx if candidate == "onnxruntime" else _with_torch)(name, kind, threads)
            except DeviceUnavailable as error:
                failure = error
                continue
            if way is not None:
                return way
    raise failure


def _backends(device: Device) -> tuple[str, ...]:
    # CoreML takes only part of a gradient graph and leaves the rest to the CPU: torch goes first there.
    return BACKENDS[::-1] if device is Device.MPS else BACKENDS


def _accelerator_in_sight() -> bool:
    if sys.platform == "darwin":
        return os.uname().machine == "arm64"
    return sys.platform == "win32" or Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def _with_onnx(name: str, device: Device, threads: int) -> Way | None:
    import onnxruntime

    from ulecli.perturb.onnx_gradients import OnnxGradients, available
    from ulecli.surrogates.store import verified_bytes

    # DirectML is Windows' way to any GPU; what is asked for as cuda is a GPU there.
    ways = {Device.CPU: ("cpu",), Device.CUDA: ("cuda", "directml"), Device.MPS: ("coreml",)}[device]
    for provider in ways:
        if provider in available():
            gradients = OnnxGradients(verified_bytes(name, ".0.onnx"), provider, threads=threads)
            return gradients, f"{provider} (onnxruntime {onnxruntime.__version__})"
    return None


def _with_torch(name: str, device: Device, threads: int) -> Way | None:
    try:
        import torch
    except ImportError:
        return None
    from ulecli.nets.devices import device_name
    from ulecli.perturb.torch_gradients import gradients_of
    from ulecli.surrogates.weights import load_net

    usable = {
        Device.CPU: True,
        Device.CUDA: torch.cuda.is_available(),
        Device.MPS: torch.backends.mps.is_available(),
    }
    if not usable[device]:
        return None
    where = torch.device(device.value)
    model = f" {device_name(where)}" if device is Device.CUDA else ""
    return gradients_of(load_net(name), where), f"{device.value}{model} (torch {torch.__version__})"


def _unavailable(device: Device) -> str:
    if device is Device.CUDA:
        return (
            "--device cuda: neither onnxruntime nor torch can use an NVIDIA GPU here; install a CUDA build "
            f"of torch ({install_extra('torch')}), or choose --device cpu"
        )
    if device is Device.MPS:
        return "--device mps: there is no Apple GPU that torch or onnxruntime can use; choose --device cpu"
    return f"--device {device.value}: neither onnxruntime nor torch is installed; install ulecli anew"
