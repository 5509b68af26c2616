from __future__ import annotations

import pytest
import torch
from torch import nn

from ulecli.nets.fusing import fused
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded

pytestmark = pytest.mark.usefixtures("one_thread")


def lived(net: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return a net in evaluation mode whose batch norms have figures of their own."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
    with torch.no_grad():
        net.train()(images)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["conv", "vgg11", "linear", "resnet18", "densenet121"])
def test_answers_and_gradients_are_those_of_the_net(name: str) -> None:
    # In double precision, so that no rectifier falls to the other side by rounding.
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    with seeded(0):
        net = lived(make_net(name, channels=3, classes=10).double(), images)
        before = {key: value.clone() for key, value in net.state_dict().items()}
    found = []
    for one in (net, fused(net)):
        seen = images.clone().requires_grad_(True)
        logits = one(seen)
        (gradient,) = torch.autograd.grad(logits[:, 3].sum(), seen)
        found.append((logits.detach(), gradient))
    for plain, quick in zip(*found, strict=True):
        assert torch.allclose(plain, quick, atol=1e-8 * float(plain.abs().max()))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["conv", "vgg11", "resnet18"])
def test_none_is_left_in_a_net_of_the_registry(name: str) -> None:
    net = make_net(name, channels=3, classes=10)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused(net).modules())
    assert not any(weights.requires_grad for weights in fused(net).parameters())


def test_no_batch_norm_of_a_sequence_is_left() -> None:
    inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), inner, nn.BatchNorm2d(4)).eval()
    kinds = [type(layer) for layer in fused(net).modules()]
    assert kinds.count(nn.BatchNorm2d) == 1  # the one that is not behind a convolution
    assert not any(layer.training for layer in fused(net).modules())


def test_a_net_that_is_no_sequence_answers_as_before() -> None:
    class Doubled(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 2 * images

    assert fused(Doubled())(torch.ones(1, 3, 2, 2)).eq(2).all()
