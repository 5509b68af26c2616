"""Backbones of torchvision's architectures, with weights of a .pth or .safetensors file."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ulecli.errors import ModelError, nearest, shown, unknown
from ulecli.nets.backbones.backbone import (
    OUTPUT,
    Backbone,
    BackboneOptions,
    Preprocessing,
    sha256_of,
    stated,
)
from ulecli.nets.seeding import seeded
from ulecli.system.torchvision_shim import import_torchvision

Weights = Mapping[str, Tensor]

_NESTED = ("state_dict", "model_state_dict", "model", "net")
"""Where training scripts keep the weights among other things."""

_USUAL = ("resnet", "mobilenet", "efficientnet_b", "densenet", "vgg", "convnext", "vit")
"""Architectures that are tried first, as building each takes time."""

_LEFT_OUT = ("AuxLogits.", "aux1.", "aux2.")
"""Branches that only training from scratch uses."""

_NO_WEIGHTS = ("num_batches_tracked", "relative_position_index")
"""Ends of the names of what belongs to a net and is no weight."""


def open_state_dict(path: Path, name: str, arch: str, options: BackboneOptions) -> Backbone:
    """Open a net of torchvision with the weights of a file.

    Args:
        path: A safetensors file, or what torch.save wrote of a state dict.
        name: In tables and messages.
        arch: Its name in torchvision; "" to recognise it by names and shapes.
        options: Size, normalisation and layer.

    Raises:
        ModelError: The file can't be read, or the weights fit no architecture, or not the one that was named.
        UsageError: There is no such architecture.
    """
    weights, metadata = _read(path, name)
    models = import_torchvision().models
    arch = arch or metadata.get("arch") or metadata.get("architecture") or ""
    arch, weights = _recognised(models, weights, arch.removeprefix("torchvision-"), name)
    net = _built(models, arch, weights)
    own = stated(metadata, name, _usual(models, arch))
    head = _classifier(net)
    if options.layer not in ("", OUTPUT):
        net = _UpTo(net, options.layer, name)
    elif not options.layer:
        net.set_submodule(head, nn.Identity())
    digest = sha256_of(path, options.layer)
    return Backbone(name, net.eval(), options.applied(own), digest, packages=("torchvision",))


def _read(path: Path, name: str) -> tuple[Weights, dict[str, str]]:
    """Return the tensors of a file by name, and its metadata."""
    metadata: dict[str, str] = {}
    try:
        with path.open("rb") as stream:
            written_by_torch = stream.read(2) in (b"PK", b"\x80\x02")
        if written_by_torch:
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with safetensors.safe_open(path, "pt") as file:
                metadata = dict(file.metadata() or {})
            found = safetensors.torch.load_file(path)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name} holds more than weights, which could be code: save net.state_dict(), or export the net "
            "as TorchScript"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"{name} can't be read as weights ({line}): get or write it again") from error
    return _tensors(found, name), metadata


def _tensors(found: Any, name: str) -> Weights:
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not any(isinstance(one, Tensor) for one in found.values()):
        raise ModelError(f"{name} holds no weights by name: save net.state_dict()")
    return {str(key): one for key, one in found.items() if isinstance(one, Tensor)}


def _recognised(models: ModuleType, weights: Weights, arch: str, name: str) -> tuple[str, Weights]:
    """Return the architecture that weights fit, and the weights by its names."""
    names = models.list_models(module=models)
    if arch and arch not in names:
        raise unknown(
            "architecture in torchvision", arch, names, f"those of torchvision.models{nearest(arch, names)}"
        )
    # Building each takes time, so those come first that the file may be called after.
    usual = sorted(names, key=lambda one: (not name.startswith(one), not one.startswith(_USUAL), -len(one)))
    problem = ""
    for candidate in [arch] if arch else usual:
        needed, head = _needed(models, candidate)
        for renamed in _renamings(weights):
            problem = _misfit(renamed, needed, head)
            if not problem:
                return candidate, renamed
    if arch:
        raise ModelError(f"{name} does not hold the weights of {arch} ({problem}): name another ARCH={name}")
    raise ModelError(f"{name} holds weights of no net of torchvision: export the net as ONNX or TorchScript")


def _renamings(weights: Weights) -> Iterator[Weights]:
    """Yield weights as they are called, and without the prefix that all of them share, such as `module.`."""
    yield weights
    while len({key.partition(".")[0] for key in weights}) == 1 and all("." in key for key in weights):
        weights = {key.partition(".")[2]: one for key, one in weights.items()}
        yield weights


def _needed(models: ModuleType, arch: str) -> tuple[dict[str, torch.Size], str]:
    """Return the shapes of an architecture's weights by name, and the name of its classifier."""
    with seeded(0), _WithoutWeights():
        net = models.get_model(arch, weights=None, **_settings(arch))
    return {key: one.shape for key, one in net.state_dict().items() if _counts(key)}, _classifier(net)


class _WithoutWeights(TorchFunctionMode):
    """Nets get weights of a shape but no values, so that none takes seconds or gigabytes to build.

    Not by `torch.device("meta")`: some architectures compute with small tensors of their own meanwhile.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Let new tensors without values have no memory either."""
        where = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **where})


def _counts(key: str) -> bool:
    return not key.startswith(_LEFT_OUT) and not key.endswith(_NO_WEIGHTS)


def _misfit(weights: Weights, needed: Mapping[str, torch.Size], head: str) -> str:
    """Say where weights differ from what an architecture needs, apart from its classifier; "" if nowhere."""
    own = {key: one.shape for key, one in weights.items() if _counts(key)}
    for key in sorted(own.keys() | needed.keys()):
        if key.startswith(f"{head}."):
            continue
        if own.get(key) != needed.get(key):
            there, wanted = (tuple(one[key]) if key in one else "absent" for one in (own, needed))
            return f"{shown(key)}: {there} there, {wanted} wanted"
    return ""


def _settings(arch: str) -> dict[str, Any]:
    # The first is slow to draw; the second is how the published weights of these two see pictures.
    return {"init_weights": False, "transform_input": True} if arch in ("googlenet", "inception_v3") else {}


def _built(models: ModuleType, arch: str, weights: Weights) -> nn.Module:
    with seeded(0):
        net: nn.Module = models.get_model(arch, weights=None, **_settings(arch))
    head = _classifier(net)
    given = weights.get(f"{head}.weight")
    if given is not None and given.shape != net.get_submodule(head).weight.shape:  # of other classes
        classes, width = given.shape[:2]
        linear = given.ndim == 2
        net.set_submodule(head, nn.Linear(width, classes) if linear else nn.Conv2d(width, classes, 1))
    own = {key: one for key, one in weights.items() if not key.startswith(_LEFT_OUT)}
    net.load_state_dict(own, strict=False)
    if hasattr(net, "aux_logits"):
        net.aux_logits = False  # type: ignore[assignment]
    return net.float()


def _classifier(net: nn.Module) -> str:
    """Return the name of the last layer that multiplies, which is linear or, in a few nets, a convolution."""
    kinds = (nn.Linear, nn.Conv2d)
    names: list[str] = [name for name, layer in net.named_modules() if isinstance(layer, kinds)]
    return names[-1]


def _usual(models: ModuleType, arch: str) -> Preprocessing:
    """Return how pictures are shown to the published weights of an architecture."""
    shown = models.get_model_weights(arch).DEFAULT.transforms()
    return Preprocessing(int(shown.crop_size[0]), tuple(shown.mean), tuple(shown.std))


class _UpTo(nn.Module):
    """A net whose output is that of one of its layers."""

    def __init__(self, net: nn.Module, layer: str, name: str) -> None:
        super().__init__()
        known = [own for own, _ in net.named_modules() if own]
        if layer not in known:
            raise ModelError(f"{name} has no layer '{shown(layer)}'{nearest(layer, known)}")
        self.net, self._layer = net, layer

    def forward(self, images: Tensor) -> Tensor:
        found: list[Tensor] = []
        hook = self.net.get_submodule(self._layer).register_forward_hook(lambda _, __, out: found.append(out))
        try:
            self.net(images)
        finally:
            hook.remove()
        return found[-1]
