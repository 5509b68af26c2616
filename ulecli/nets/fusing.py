"""Nets for inference: a batch norm whose figures are fixed is part of the convolution before it."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fused(net: nn.Module) -> nn.Module:
    """Return a net that answers as `net`, but for rounding, and faster.

    Args:
        net: In evaluation mode; left as it is. Of a sequence, and of sequences within it, the batch norms
            right behind convolutions go; any other net is returned itself.

    Returns:
        In evaluation mode; it may share layers with `net`.
    """
    if not isinstance(net, nn.Sequential):
        return net
    layers: list[nn.Module] = []
    for layer in net:
        before = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(before, layer)
        else:
            layers.append(fused(layer))
    return nn.Sequential(*layers).eval()
