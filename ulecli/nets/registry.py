"""The nets by name. A new one is one file here and one line in `NETS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ulecli.nets.conv import conv
from ulecli.nets.dense import linear, mlp
from ulecli.nets.densenet import densenet121
from ulecli.nets.efficientnet_lite import efficientnet_lite0
from ulecli.nets.fast_conv import fast_conv
from ulecli.nets.resnet import resnet18
from ulecli.nets.torchvision_nets import ARCHITECTURES, torchvision_net
from ulecli.nets.vgg import vgg11
from ulecli.registry import Registry


@dataclass(frozen=True)
class Net:
    """A net of the registry: any module, with strides and skip connections or without.

    Attributes:
        make: Builds it with freshly drawn weights from `channels`, `classes` and settings of its own. It
            takes unit-scale images (N, `channels`, H, W), normalises them itself where it is meant to, and
            returns logits (N, `classes`).
        words: What it is, in a line.
        sized: Whether its weights are for pictures of one side alone, the setting `size`.
        channels_last: Whether it is given images channels last in memory, which is faster on convolutions;
            its own code must then say `reshape` or `flatten` instead of `view`.
    """

    make: Callable[..., nn.Module]
    words: str = ""
    sized: bool = False
    channels_last: bool = False

    def build(self, **settings: Any) -> nn.Sequential:
        """Return the net with freshly drawn weights; see `make_net`."""
        net = self.make(**settings)
        chain = net if isinstance(net, nn.Sequential) else nn.Sequential(net)
        chain.channels_last = self.channels_last  # type: ignore[assignment]
        return chain

    def build_for(self, side: int, **settings: Any) -> nn.Sequential:
        """Return the net as `build` does, with weights for pictures of a side where it has such."""
        return self.build(**settings, **({"size": side} if self.sized else {}))


_net = partial(Net, channels_last=True)

NETS: Registry[Net] = Registry(
    "net",
    {
        "conv": _net(conv, "small VGG-like net, that of the surrogates"),
        "densenet121": _net(densenet121, "CIFAR form of DenseNet-121 (Huang et al. 2017)"),
        "efficientnet-lite0": _net(
            efficientnet_lite0, "EfficientNet-Lite0 (Tan and Le 2019), for sides of 32 n"
        ),
        "fast-conv": _net(fast_conv, "net of presets quick and fast (after Jordan 2024)"),
        "linear": _net(linear, "logistic regression on all pixels", sized=True),
        "mlp": _net(mlp, "256 and 128 hidden units on all pixels (Liu et al. 2021, Table 6)", sized=True),
        "resnet18": _net(resnet18, "CIFAR form of ResNet-18 (He et al. 2016), net of preset paper"),
        "vgg11": _net(vgg11, "VGG-11 with batch norm (after Simonyan and Zisserman 2015)"),
        **{
            name: _net(partial(torchvision_net, name), f"torchvision's {model}, for photos; not pretrained")
            for name, model in ARCHITECTURES.items()
        },
    },
)


def make_net(name: str, **settings: Any) -> nn.Sequential:
    """Build the net called `name` with freshly drawn weights.

    The weights come from torch's global generator: call inside `ulecli.nets.seeding.seeded`.

    Args:
        name: A key of `NETS`.
        **settings: Of that net: `channels` and `classes`, and what its function documents.

    Returns:
        The net as a chain of layers; of one layer where the net is no chain itself.

    Raises:
        UsageError: there is no such net.
    """
    return NETS.find(name).build(**settings)
