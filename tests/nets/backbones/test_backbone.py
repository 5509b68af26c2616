from __future__ import annotations

import pytest
import torch
from helpers.tiny_nets import normalised, pictures, tiny_net
from torch import nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import (
    Backbone,
    BackboneOptions,
    Preprocessing,
    check,
    pooled,
    resized,
    stated,
)


def backbone(net: nn.Module, size: int = 16, **more: bool) -> Backbone:
    return Backbone("mine", net, Preprocessing(size), "digest", **more)


def test_pictures_are_resized_and_normalised() -> None:
    net, images = tiny_net(), pictures(5, 16)
    with torch.no_grad():
        assert torch.equal(backbone(net).module()(images), net(normalised(images)))
        shrunk = torch.nn.functional.interpolate(images, (8, 8), mode="bilinear", antialias=True)
        found = backbone(net, 8).module()(images)
        torch.testing.assert_close(found, net(normalised(shrunk)))
    assert resized(images, 16) is images


def test_many_pictures_give_what_each_gives_alone() -> None:
    module, images = backbone(tiny_net(), 256).module(), pictures(9, 20)
    with torch.no_grad():
        alone = torch.cat([module(one[None]) for one in images])
        torch.testing.assert_close(module(images), alone)
    torch.testing.assert_close(module(images), alone)  # and with gradients


def test_maps_and_sequences_are_pooled() -> None:
    maps = pictures(2, 4)
    torch.testing.assert_close(pooled(maps), maps.flatten(2).mean(2))
    torch.testing.assert_close(pooled(maps.movedim(1, 3), channels_last=True), maps.flatten(2).mean(2))
    tokens = maps.flatten(2).movedim(1, 2)
    torch.testing.assert_close(pooled(tokens), maps.flatten(2).mean(2))


def test_a_copy_has_weights_of_its_own() -> None:
    own = backbone(tiny_net())
    before = own.net.body.weight.clone()
    copy = own.module(copy=True)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.zero_()
    assert torch.equal(own.net.body.weight, before)


def test_options_stand_before_the_nets_own() -> None:
    own = Preprocessing(150, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert BackboneOptions().applied(own) == own
    found = BackboneOptions(size=64, normalisation="signed").applied(own)
    assert (found.size, found.mean, found.std) == (64, (0.5,) * 3, (0.5,) * 3)
    for wrong in ({"size": -1}, {"size": 10**6}, {"normalisation": "imagnet"}):
        with pytest.raises(UsageError):
            BackboneOptions(**wrong)


def test_metadata_are_read() -> None:
    own = Preprocessing(30)
    assert stated({}, "x", own) == own
    found = stated({"size": "[3, 96, 96]", "mean": "[0.1, 0.2, 0.3]", "std": "0.5"}, "x", own)
    assert found == Preprocessing(96, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    "metadata",
    [{"size": "big"}, {"size": "0"}, {"size": "{}"}, {"mean": "[1, 2]"}, {"std": "0"}, {"std": "NaN"}],
)
def test_metadata_that_state_nonsense(metadata: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"^x: its metadata"):
        stated(metadata, "x", Preprocessing())


class Fixed(nn.Module):
    def __init__(self, found: torch.Tensor) -> None:
        super().__init__()
        self.found = found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.found


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Linear(7, 2), "can't be shown pictures of 16 x 16 .*--backbone-size"),
        (Fixed(torch.zeros(2, 1)), r"gives \(2, 1\) for two pictures"),
        (Fixed(torch.zeros(3, 4)), r"gives \(3, 4\)"),
        (Fixed(torch.full((2, 4), torch.nan)), "not finite"),
    ],
)
def test_what_gives_no_features(net: nn.Module, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        check(backbone(net))
    assert "\n" not in str(error.value)


def test_what_can_not_be_trained() -> None:
    backbone(tiny_net()).check_trainable()
    with pytest.raises(UsageError, match="probe or centroid"):
        backbone(tiny_net(), trainable=False).check_trainable()
