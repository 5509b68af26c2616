from __future__ import annotations

import pytest
import torch
from torch import nn

from ulecli.errors import UsageError
from ulecli.nets.registry import NETS, make_net
from ulecli.nets.resnet import resnet18
from ulecli.nets.seeding import seeded
from ulecli.system.torchvision_shim import import_torchvision

pytestmark = pytest.mark.usefixtures("one_thread")

RGB_10 = {"channels": 3, "classes": 10}

TINY: dict[str, tuple[int, dict[str, object]]] = {
    "conv": (8, {}),
    "densenet121": (8, {"growth": 4}),
    "efficientnet-lite0": (32, {}),
    "fast-conv": (16, {"widths": (8, 8)}),
    "linear": (8, {"size": 8}),
    "mlp": (8, {"size": 8, "hidden": (7, 5)}),
    "resnet18": (9, {"width": 8}),
    "torchvision-densenet121": (32, {}),
    "torchvision-mobilenet-v3": (32, {}),
    "torchvision-resnet18": (32, {}),
    "torchvision-resnet50": (32, {}),
    "torchvision-vgg11": (32, {}),
    "vgg11": (32, {}),
}
"""Side of the pictures and settings that every net of the registry is tried with here."""

PARAMETERS = {
    ("conv", 10): 75_290,
    ("densenet121", 10): 6_956_298,
    ("fast-conv", 10): 1_972_792,
    ("linear", 10): 30_730,
    ("mlp", 10): 820_874,
    ("resnet18", 10): 11_173_962,
    ("vgg11", 10): 9_231_114,
    # As Google gives it, for ImageNet: 4.7 M.
    ("efficientnet-lite0", 1000): 4_652_008,
    # As torchvision's documentation gives them, for ImageNet.
    ("torchvision-densenet121", 1000): 7_978_856,
    ("torchvision-mobilenet-v3", 1000): 5_483_032,
    ("torchvision-resnet18", 1000): 11_689_512,
    ("torchvision-resnet50", 1000): 25_557_032,
    ("torchvision-vgg11", 1000): 132_868_840,
}


def tiny(name: str, seed: int = 0) -> nn.Module:
    with seeded(seed):
        return make_net(name, channels=3, classes=4, **TINY[name][1])


def pictures(side: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize("name", NETS)
def test_logits_and_gradients_are_finite_and_reach_everything(name: str) -> None:
    images = pictures(TINY[name][0]).requires_grad_()
    net = tiny(name).train()
    logits = net(images)
    assert logits.shape == (2, 4)
    assert logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    assert images.grad is not None and images.grad.isfinite().all()
    learning = {key: weight for key, weight in net.named_parameters() if weight.requires_grad}
    missing = [key for key, weight in learning.items() if weight.grad is None]
    assert not missing
    assert all(weight.grad.isfinite().all() for weight in learning.values())


# torchvision's VGG has 129 million weights: seconds to draw, by the same line of ours as its other nets.
@pytest.mark.parametrize("name", sorted(set(NETS) - {"torchvision-vgg11"}))
def test_weights_follow_the_seed_alone(name: str) -> None:
    first = tiny(name).state_dict()
    torch.rand(3)
    again, other = tiny(name).state_dict(), tiny(name, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "classes"), PARAMETERS)
def test_parameters_as_published(name: str, classes: int) -> None:
    with torch.device("meta"):
        net = make_net(name, channels=3, classes=classes)
    assert sum(weight.numel() for weight in net.parameters()) == PARAMETERS[name, classes]


def test_the_tables_here_hold_every_net() -> None:
    here = {name for name in NETS if name in TINY and name in {known for known, _ in PARAMETERS}}
    assert here == set(NETS)


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "vgg11"])
@pytest.mark.parametrize("side", [32, 48])
def test_cifar_forms_are_torchvisions_behind_another_stem(name: str, side: int) -> None:
    models = import_torchvision().models
    with seeded(0):
        net = make_net(name, **RGB_10).train()
        oracle = getattr(models, {"vgg11": "vgg11_bn"}.get(name, name))(num_classes=10).train()
    if name == "resnet18":
        oracle.conv1, oracle.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    elif name == "densenet121":
        oracle.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        del oracle.features.norm0, oracle.features.relu0, oracle.features.pool0
    else:
        oracle.avgpool, oracle.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
    weights = dict(zip(oracle.state_dict(), net.state_dict().values(), strict=True))
    oracle.load_state_dict(weights)
    images = pictures(side)
    torch.testing.assert_close(net(images), oracle(images))


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "vgg11"])
def test_published_nets_see_pixels_as_they_are(name: str) -> None:
    seen: list[torch.Tensor] = []
    net = tiny(name)
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    images = pictures(32)
    net(images)
    assert torch.equal(seen[0], images)


@pytest.mark.parametrize(
    "name", ["conv", "densenet121", "efficientnet-lite0", "fast-conv", "linear", "mlp", "resnet18", "vgg11"]
)
def test_own_nets_see_luma_too(name: str) -> None:
    side, settings = TINY[name]
    assert make_net(name, channels=1, classes=3, **settings)(torch.zeros(2, 1, side, side)).shape == (2, 3)
    with pytest.raises(UsageError, match="1 channel"):
        make_net(name, channels=2, classes=3, **settings)


def test_torchvisions_see_colour_alone() -> None:
    with pytest.raises(UsageError, match=r"torchvision-resnet18 sees 3 channels \(RGB\), not 1"):
        make_net("torchvision-resnet18", channels=1, classes=3)


def test_width_is_that_of_the_first_stage() -> None:
    stages = [
        layer.out_channels for layer in resnet18(width=6, **RGB_10).modules() if type(layer) is nn.Conv2d
    ]
    assert sorted(set(stages)) == [6, 12, 24, 48]


def test_make_net_returns_a_chain_and_knows_its_names() -> None:
    assert isinstance(make_net("torchvision-resnet18", **RGB_10), nn.Sequential)
    with pytest.raises(UsageError, match=r"no net 'resnet-18', only .*; did you mean resnet18\?"):
        make_net("resnet-18", **RGB_10)


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_a_net_for_a_side_takes_pictures_of_it(name: str) -> None:
    net = NETS[name].build_for(16, **RGB_10)
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
