"""The nets by name. A new one is one file here and one line in `NETS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn

from ulecli.errors import unknown
from ulecli.nets.conv import conv
from ulecli.nets.dense import linear, mlp
from ulecli.nets.densenet import densenet121
from ulecli.nets.fast_conv import fast_conv
from ulecli.nets.resnet import resnet18
from ulecli.nets.torchvision_nets import ARCHITECTURES, torchvision_net
from ulecli.nets.vgg import vgg11


@dataclass(frozen=True)
class Net:
    """A net of the registry.

    Attributes:
        make: Builds it; see `make_net`.
        words: What it is, in a line.
        sized: Whether its weights are for pictures of one side alone, the setting `size`.
    """

    make: Callable[..., nn.Module]
    words: str
    sized: bool = False


NETS: Mapping[str, Net] = MappingProxyType(
    {
        "conv": Net(conv, "small VGG-like net, that of the surrogates"),
        "densenet121": Net(densenet121, "CIFAR form of DenseNet-121 (Huang et al. 2017)"),
        "fast-conv": Net(fast_conv, "net of presets quick and fast (after Jordan 2024)"),
        "linear": Net(linear, "logistic regression on all pixels", sized=True),
        "mlp": Net(mlp, "256 and 128 hidden units on all pixels (Liu et al. 2021, Table 6)", sized=True),
        "resnet18": Net(resnet18, "CIFAR form of ResNet-18 (He et al. 2016), net of preset paper"),
        "vgg11": Net(vgg11, "VGG-11 with batch norm (after Simonyan and Zisserman 2015)"),
        **{
            name: Net(partial(torchvision_net, name), f"torchvision's {model}, for photos; not pretrained")
            for name, model in ARCHITECTURES.items()
        },
    }
)


def make_net(name: str, **settings: Any) -> nn.Sequential:
    """Build the net called `name` with freshly drawn weights.

    Every net takes unit-scale images (N, `channels`, H, W), normalises them itself where it is meant to, and
    returns logits (N, `classes`). The weights come from torch's global generator: call inside
    `ulecli.nets.seeding.seeded`.

    Args:
        name: A key of `NETS`.
        **settings: Of that net: `channels` and `classes`, and what its function documents.

    Returns:
        The net as a chain of layers, which gradient graphs are written from; of one layer where the net is no
        chain itself.

    Raises:
        UsageError: there is no such net.
    """
    check_net(name)
    net = NETS[name].make(**settings)
    return net if isinstance(net, nn.Sequential) else nn.Sequential(net)


def check_net(name: str) -> str:
    """Return the name if there is a net of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in NETS:
        raise unknown("net", name, NETS)
    return name
