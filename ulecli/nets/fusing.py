"""Nets for inference: a batch norm whose figures are fixed is part of the convolution before it."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fused(net: nn.Module) -> nn.Module:
    """Return a frozen copy of a net that answers as it does, but for rounding, and faster.

    Args:
        net: Left as it is. In each sequence of layers that it is or holds, the batch norms right behind
            convolutions go into these; those before them, as in DenseNet, stay.

    Returns:
        In evaluation mode, its weights without gradients.
    """
    twin = copy.deepcopy(net).eval()
    for chain in [module for module in twin.modules() if isinstance(module, nn.Sequential)]:
        for place in range(len(chain) - 1):
            convolution, norm = chain[place], chain[place + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                chain[place], chain[place + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return twin.eval().requires_grad_(False)
