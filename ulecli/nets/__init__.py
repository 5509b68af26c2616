"""The nets by name. A new one is one file here and one line in `NETS`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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

NETS: dict[str, Callable[..., nn.Module]] = {
    "conv": conv,
    "densenet121": densenet121,
    "fast-conv": fast_conv,
    "linear": linear,
    "mlp": mlp,
    "resnet18": resnet18,
    "vgg11": vgg11,
    **{name: partial(torchvision_net, name) for name in ARCHITECTURES},
}


def make_net(name: str, **settings: Any) -> nn.Sequential:
    """Build the net called `name` with freshly drawn weights.

    Every net takes unit-scale images (N, `channels`, H, W), normalises them itself where it is meant to, and
    returns logits (N, `classes`). The weights come from torch's global generator: call inside
    `ulecli.seeding.seeded`.

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
    net = NETS[name](**settings)
    return net if isinstance(net, nn.Sequential) else nn.Sequential(net)


def check_net(name: str) -> str:
    """Return the name if there is a net of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in NETS:
        raise unknown("net", name, NETS)
    return name
