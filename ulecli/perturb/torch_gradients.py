"""Gradients from a torch net, on any device: for training surrogates, for the GPU and as the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ulecli.nets.precision import exact_float32, has_bfloat16
from ulecli.transforms.geometry import Axes, axes_of, see
from ulecli.transforms.gray import gray, gray_adjoint
from ulecli.transforms.jpeg_dct import jpeg_dct
from ulecli.transforms.quantise import posterize
from ulecli.transforms.views import Floats, View


class TorchGradients:
    """`Gradients` of a surrogate that is a torch net that is left as it is, in evaluation mode.

    Attributes:
        net: From (N, C, h, w), unit scale, to logits or features (N, D).
        device: Where net and arrays lie.
        autocast: Whether the net runs in bfloat16; several times faster on CPUs that have it.
    """

    def __init__(self, net: nn.Module, device: torch.device, *, autocast: bool = False) -> None:
        self.net = net
        self.device = device
        self.autocast = autocast

    def asarray(self, values: NDArray[Any]) -> Tensor:
        """Return numpy values as a tensor on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def asnumpy(self, values: Tensor) -> Floats:
        """Return a tensor as a numpy array on the host."""
        array: Floats = values.cpu().numpy()
        return array

    def sign(self, values: Tensor) -> Tensor:
        """Return -1, 0 or 1 for each value."""
        return values.sign()

    def gradient(self, images: Tensor, delta: Tensor, targets: Tensor, view: View | None) -> Tensor:
        """Return the gradient of the summed loss by delta; see `Gradients.gradient`."""
        axes = None if view is None else axes_of(view, images)
        shown = images + delta
        seen = look(shown.clip(0, 1), view, axes).requires_grad_(True)
        with exact_float32():
            logits = self.logits(seen)
            upstream = targets if targets.ndim == 2 else entropy_gradient(logits.detach(), targets)
            (gradient,) = torch.autograd.grad(logits, seen, upstream)
        if view is not None and view.gray:
            gradient = gray_adjoint(gradient)
        if axes is not None:
            gradient = axes.rows[:, None].mT @ gradient @ axes.columns[:, None]
        # Clipping passes a gradient only where a step along it leads back inside.
        passed = gradient * (((shown <= 1) | (gradient > 0)) & ((shown >= 0) | (gradient < 0)))
        return passed if delta.shape[1] == passed.shape[1] else passed.sum(1, keepdim=True)

    def features(self, images: Tensor) -> Floats:
        """Return the features of images as they are; see `FeatureGradients.features`."""
        with (
            torch.no_grad(),
            exact_float32(),
        ):  # and without autocast: differences of features are small against them
            answer: Tensor = self.net(images.contiguous(memory_format=torch.channels_last))
        return self.asnumpy(answer.float())

    def logits(self, seen: Tensor) -> Tensor:
        """Return float32 logits or features (N, D) of what the net sees (N, C, h, w)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            answer: Tensor = self.net(seen.contiguous(memory_format=torch.channels_last))
        return answer.float()


def gradients_of(net: nn.Module, device: torch.device) -> TorchGradients:
    """Return the gradients that suit a net and a device, to which the net is moved.

    On a CPU that has bfloat16, convolutions gain enough from it to be worth its rounding; dense layers don't.
    """
    convolves = any(isinstance(layer, nn.Conv2d) for layer in net.modules())
    return TorchGradients(
        net.to(device), device, autocast=device.type == "cpu" and convolves and has_bfloat16("cpu")
    )


def entropy_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the summed cross-entropy by the logits (N, K), without cancellation.

    softmax - onehot loses the label's own term once the net is sure, and with it the sign of the gradient;
    ``q - onehot * sum(q)`` with ``q = softmax * (1 - onehot)`` is the same and keeps it.
    """
    onehot = functional.one_hot(labels, logits.shape[1])
    others = logits.softmax(1) * (1 - onehot)
    return others - onehot * others.sum(1, keepdim=True)


def look(shown: Tensor, view: View | None, axes: Axes | None = None) -> Tensor:
    """Return the images (N, C, S, S) as the net sees them, (N, C, h, w): stored, then cropped and resized.

    `axes` are the view's matrices where they are on the device already; the result is detached.
    """
    with torch.no_grad():
        if view is None:
            return shown.clone()
        if view.quality:
            shown = jpeg_dct(shown, view.quality)
        elif view.bits < 8:
            shown = posterize(shown, view.bits)
        if view.gray:
            shown = gray(shown).expand_as(shown)
        return see(shown, axes or view)
