"""Making a small surrogate of a pretrained net, from generated pictures."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_nets import tiny_net

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import MissingExtra, ModelError, UsageError
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.makers import MAKERS
from ulecli.nets.efficientnet_lite import efficientnet_lite0
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.export import graph_of
from ulecli.surrogates.feature_making import FEWEST, make_feature_surrogate, take_over
from ulecli.surrogates.feature_recipe import FEATURE_RECIPES
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.weights import described_net, load_net
from ulecli.system.devices import Device
from ulecli.transforms.views import ViewPolicy

GRID, SIDE = 32, 32
WHOLE = ViewPolicy(sizes=(SIDE,), area=(1.0, 1.0), ratio=1.0, flip=0.0)
SMALL = replace(
    FEATURE_RECIPES["photo"],
    net={**FEATURE_RECIPES["photo"].net, "side": SIDE},
    grid=GRID,
    ordinary=WHOLE,
    protection=PgdSettings(steps=2, colour=True, augment=replace(WHOLE, gray=0.5)),
)


def make(folder: Path, pictures: ImageSet, **more):
    words = {"data": "shapes", "command": "ulecli surrogate train small", "seed": 5}
    return make_feature_surrogate("small", SMALL, pictures, folder, **words, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, store.Card, list[int]]:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra transfer")
    folder, reported = tmp_path_factory.mktemp("models"), []
    return folder, make(folder, shapes(FEWEST), progress=reported.append), reported


@pytest.fixture
def shelved(made, monkeypatch) -> store.Card:
    monkeypatch.setenv(store.ENVIRONMENT, str(made[0]))
    return made[1]


def test_the_card_vouches_for_the_files(made) -> None:
    folder, card, reported = made
    assert set(card.files) == {"small.safetensors", "small.0.onnx"}
    assert {path.name for path in folder.iterdir()} == {*card.files, "small.json"}
    for name, file in card.files.items():
        content = (folder / name).read_bytes()
        assert (file.sha256, file.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert reported == [32, 64, 96, FEWEST]


def test_the_card_tells_how_it_was_made(shelved: store.Card) -> None:
    read = store.load_card("small")
    assert json.loads(json.dumps(asdict(shelved))) == json.loads(json.dumps(asdict(read)))
    assert (shelved.name, shelved.data, shelved.seeds) == ("small", "shapes", (5,))
    assert shelved.command == "ulecli surrogate train small"
    assert shelved.protocol["made_by"]["photos"] == FEWEST
    assert shelved.net["side"] == SIDE and shelved.protocol["grid"] == GRID


def test_features_are_the_pretrained_nets_over_their_deviations(shelved: store.Card) -> None:
    pictures = shapes(FEWEST).images.float() / 255
    expected = described_net(SMALL.net).get_submodule("features")
    take_over(expected, MAKERS.find(SMALL.backbone).open(BackboneOptions()).net)
    expected.half().float().eval()  # what is stored has the digits of half precision
    net = load_net("small")
    with torch.no_grad():
        theirs, plain, ours = (each(pictures) for each in (expected, net.get_submodule("features"), net))
    assert torch.equal(plain, theirs)
    deviations = plain.std(0)
    assert (deviations > 0.05).sum() > 200
    torch.testing.assert_close(ours, plain / deviations.clamp(min=1e-4), rtol=2e-3, atol=1e-4)


def test_it_perturbs_photos(shelved: store.Card) -> None:
    perturber = open_perturber("small", device=Device.CPU)
    images = shapes(3).images.numpy().astype(np.float32) / 255
    bounds = np.full((3, 1, GRID, GRID), 6, np.float32)
    direction = perturber.direction(images, bounds, 0)
    delta = perturber(images, direction[None].repeat(3, 0), bounds, np.ones(3, np.float32))
    assert delta.shape == bounds.shape and 0 < np.abs(delta).max() <= 6
    assert perturber.label == f"small {shelved.files['small.safetensors'].sha256[:8]}"


def test_the_graph_written_anew_is_the_same(shelved: store.Card) -> None:
    assert graph_of("small") == store.verified_bytes("small", ".0.onnx")


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{FEWEST - 1} photos are too few.*{FEWEST} or more"):
        make(tmp_path, shapes(FEWEST - 1))
    assert not list(tmp_path.iterdir())


def test_without_the_package_its_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtra, match="transfer"):
        make(tmp_path, shapes(FEWEST))


def test_weights_of_another_net_are_refused() -> None:
    net = efficientnet_lite0(channels=3, classes=1, norm=False)
    with pytest.raises(ModelError, match="another net"):
        take_over(net, efficientnet_lite0(channels=1, classes=1))
    with pytest.raises(ModelError, match=r"another net|without a batch norm"):
        take_over(net, tiny_net())
