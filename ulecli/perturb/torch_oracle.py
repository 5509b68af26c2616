"""Gradients from a torch net, on any device: for training surrogates, for the GPU and as the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ulecli.transforms import jpeg_dct, posterize, see
from ulecli.transforms.geometry import axes_of
from ulecli.views import Floats, View


class TorchOracle:
    """An `Oracle` whose surrogate is a torch net that is left as it is, in evaluation mode.

    Attributes:
        net: From (N, C, h, w), unit scale, to logits (N, K).
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

    def gradient(self, images: Tensor, delta: Tensor, labels: Tensor, view: View) -> Tensor:
        """Return the gradient of the summed cross-entropy by delta; see `Oracle.gradient`."""
        axes = axes_of(view, images)
        shown = images + delta
        seen = store(see(shown.clip(0, 1), axes), view).requires_grad_(True)
        loss = functional.cross_entropy(self.logits(seen), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, seen)
        back = axes.rows[:, None].mT @ gradient.float() @ axes.columns[:, None]
        return back * ((shown >= 0) & (shown <= 1))

    def logits(self, seen: Tensor) -> Tensor:
        """Return float32 logits (N, K) of what the net sees (N, C, h, w)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            answer: Tensor = self.net(seen.contiguous(memory_format=torch.channels_last))
        return answer.float()


def store(seen: Tensor, view: View) -> Tensor:
    """Return what JPEG or posterising leave of the seen images (N, C, h, w), detached."""
    with torch.no_grad():
        if view.quality:
            return jpeg_dct(seen, view.quality)
        return posterize(seen, view.bits) if view.bits < 8 else seen.clone()
