from __future__ import annotations

import pytest
import torch
from torch import nn

from ulecli.nets.folding import folded
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize(("name", "left"), [("conv", 0), ("vgg11", 0), ("resnet18", 0), ("densenet121", 119)])
def test_a_folded_net_is_the_same_function(name: str, left: int) -> None:
    with seeded(0):
        net = make_net(name, channels=3, classes=5)
        net(torch.rand(4, 3, 32, 32))  # so that the norms have seen something
    images, before = torch.rand(3, 3, 32, 32), net.training
    twin = folded(net)
    assert norms(twin) <= left < norms(net)
    assert net.training is before and all(weights.requires_grad for weights in net.parameters())
    assert not any(weights.requires_grad for weights in twin.parameters())
    assert torch.allclose(twin(images), net.eval()(images), atol=1e-4)
