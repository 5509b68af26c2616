from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.tiny_nets import normalised, pictures, tiny_net, write_torchscript
from torch import nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import Backbone, BackboneOptions, check
from ulecli.nets.backbones.torchscript import open_torchscript


def opened(path: Path, **options: object) -> Backbone:
    return check(open_torchscript(path, path.name, BackboneOptions(size=16, **options)))


def test_features_are_what_the_classifier_gets(tmp_path: Path) -> None:
    own, images = opened(write_torchscript(tmp_path / "net.ts", tiny_net())), pictures(5, 16)
    with torch.no_grad():
        torch.testing.assert_close(own.module()(images), tiny_net().features(normalised(images)))
        output = opened(tmp_path / "net.ts", layer="output")
        torch.testing.assert_close(output.module()(images), tiny_net()(normalised(images)))
    assert own.digest != output.digest


def test_an_embedding_is_the_output(tmp_path: Path) -> None:
    net = nn.Sequential(tiny_net(), nn.BatchNorm1d(3)).eval()
    own = opened(write_torchscript(tmp_path / "net.ts", net))
    assert own.module()(pictures(5, 16)).shape == (5, 3)


def test_copies_learn_and_the_net_stays(tmp_path: Path) -> None:
    own, images = opened(write_torchscript(tmp_path / "net.ts", tiny_net())), pictures(5, 16)
    before = own.module()(images).detach()
    copy = own.module(copy=True).train()
    torch.testing.assert_close(copy(images), before)
    copy(images).square().sum().backward()
    learning = [weight for weight in copy.parameters() if weight.requires_grad]
    assert len(learning) == 2 and all(weight.grad is not None for weight in learning)
    with torch.no_grad():
        for weight in learning:
            weight.zero_()
    assert torch.equal(own.module()(images), before)


def test_its_metadata(tmp_path: Path) -> None:
    metadata = json.dumps({"size": 24, "mean": 0.5, "std": [0.5, 0.5, 0.5]})
    path = write_torchscript(tmp_path / "net.ts", tiny_net(), metadata=metadata)
    own = open_torchscript(path, "net.ts", BackboneOptions())
    assert (own.preprocessing.size, own.preprocessing.mean) == (24, (0.5, 0.5, 0.5))
    write_torchscript(path, tiny_net(), metadata="[1]")
    with pytest.raises(ModelError, match=r"net.ts: its preprocessing.json"):
        open_torchscript(path, "net.ts", BackboneOptions())


def test_other_layers_and_damage(tmp_path: Path) -> None:
    path = write_torchscript(tmp_path / "net.ts", tiny_net())
    with pytest.raises(UsageError, match="export it as ONNX"):
        opened(path, layer="body")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"net.ts can't be opened") as error:
        opened(path)
    assert "\n" not in str(error.value)
