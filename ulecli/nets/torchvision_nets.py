"""torchvision's nets without their weights, for exploiters of photos at about 224 pixels."""

from __future__ import annotations

from torch import nn

from ulecli.errors import UsageError
from ulecli.system.torchvision_shim import import_torchvision

ARCHITECTURES = {
    "torchvision-resnet18": "resnet18",
    "torchvision-resnet50": "resnet50",
    "torchvision-densenet121": "densenet121",
    # With batch norm: without it the net does not get off the ground at an exploiter's learning rate.
    "torchvision-vgg11": "vgg11_bn",
    "torchvision-mobilenet-v3": "mobilenet_v3_large",
}
"""From our names to those in `torchvision.models`."""


def torchvision_net(name: str, *, channels: int, classes: int) -> nn.Module:
    """Build a net of `torchvision.models` with freshly drawn weights.

    Args:
        name: A key of `ARCHITECTURES`.
        channels: 3, as these nets see RGB.
        classes: Number of classes.

    Returns:
        Net from (N, 3, H, W), unit scale and not normalised, sides of 32 or more, to logits (N, classes).

    Raises:
        UsageError: channels is not 3.
    """
    if channels != 3:
        raise UsageError(f"{name} sees 3 channels (RGB), not {channels}; torchvision knows no other")
    net: nn.Module = import_torchvision().models.get_model(
        ARCHITECTURES[name], weights=None, num_classes=classes
    )
    return net
