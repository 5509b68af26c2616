from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import safetensors.torch
import torch
from helpers.tiny_nets import normalised, pictures
from torch import nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import Backbone, BackboneOptions, check
from ulecli.nets.backbones.state_dict import _needed, open_state_dict
from ulecli.nets.seeding import seeded
from ulecli.system.torchvision_shim import import_torchvision


@cache
def resnet(classes: int = 7) -> nn.Module:
    with seeded(0):
        return import_torchvision().models.resnet18(num_classes=classes).eval()


def opened(path: Path, arch: str = "", **options: object) -> Backbone:
    return check(open_state_dict(path, path.name, arch, BackboneOptions(**{"size": 32, **options})))


def features(images: torch.Tensor) -> torch.Tensor:
    headless = nn.Sequential(*list(resnet().children())[:-1], nn.Flatten())
    with torch.no_grad():
        return headless(normalised(images))


@pytest.mark.parametrize("form", ["plain", "nested", "parallel", "headless", "safetensors"])
def test_a_resnet_in_every_form_that_people_save(form: str, tmp_path: Path) -> None:
    weights, path = dict(resnet().state_dict()), tmp_path / "mine.pth"
    if form == "safetensors":
        path = tmp_path / "mine.safetensors"
        safetensors.torch.save_file(weights, path, {"size": "48", "mean": "0.5", "arch": "resnet18"})
    elif form == "headless":
        torch.save({name: one for name, one in weights.items() if not name.startswith("fc.")}, path)
    elif form == "parallel":
        torch.save({f"module.{name}": one for name, one in weights.items()}, path)
    else:
        torch.save({"epoch": 3, "state_dict": weights} if form == "nested" else weights, path)
    own, images = opened(path), pictures(3, 32)
    mean = (0.5, 0.5, 0.5) if form == "safetensors" else (0.485, 0.456, 0.406)
    assert own.preprocessing.mean == mean and own.trainable
    if form != "safetensors":
        with torch.no_grad():
            torch.testing.assert_close(own.module()(images), features(images))


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_architectures_are_recognised_and_give_pooled_features(arch: str, tmp_path: Path) -> None:
    with seeded(0):
        net = import_torchvision().models.get_model(arch, weights=None, num_classes=4)
    torch.save(net.state_dict(), tmp_path / f"{arch}.pth")
    assert opened(tmp_path / f"{arch}.pth", size=64).module()(pictures(2, 64)).ndim == 2


def test_every_architecture_is_known_by_its_shapes_without_its_weights() -> None:
    models = import_torchvision().models
    for arch in ("regnet_y_128gf", "swin_v2_t", "vit_h_14"):  # 645, 28 and 632 million weights
        needed, head = _needed(models, arch)
        assert sum(shape.numel() for shape in needed.values()) > 28e6 and f"{head}.weight" in needed
    needed, _ = _needed(models, "squeezenet1_1")
    with seeded(0):
        net = models.squeezenet1_1(weights=None)
    assert needed == {key: one.shape for key, one in net.state_dict().items()}


def test_layers_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(resnet().state_dict(), path)
    images = pictures(2, 32)
    with torch.no_grad():
        assert opened(path, layer="layer1").module()(images).shape == (2, 64)
        torch.testing.assert_close(
            opened(path, layer="output").module()(images), resnet()(normalised(images))
        )
    with pytest.raises(ModelError, match=r"mine.pth has no layer 'layer9'; did you mean layer"):
        opened(path, layer="layer9")


def test_an_architecture_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(resnet().state_dict(), path)
    assert opened(path, "resnet18").digest == opened(path, "torchvision-resnet18").digest
    with pytest.raises(ModelError, match=r"mine.pth does not hold the weights of resnet34 \(layer"):
        opened(path, "resnet34")
    with pytest.raises(UsageError, match=r"no architecture in torchvision 'resnet19'.*did you mean resnet18"):
        opened(path, "resnet19")


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def test_files_that_hold_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.pth"
    for found, words in (
        ({"weight": torch.zeros(3)}, "no net of torchvision"),
        ([1, 2], "no weights by name"),
        ({"a": 1}, "no weights by name"),
        (Code(), "could be code"),
    ):
        torch.save(found, path)
        with pytest.raises(ModelError, match=words) as error:
            opened(path)
        assert "mine.pth" in str(error.value) and "\n" not in str(error.value)
    assert "code ran" not in capsys.readouterr().out
    torch.save(resnet().state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"mine.pth can't be read as weights"):
        opened(path)
    (tmp_path / "mine.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{" + b"x" * 40)
    with pytest.raises(ModelError, match=r"mine.safetensors can't be read"):
        opened(tmp_path / "mine.safetensors")
