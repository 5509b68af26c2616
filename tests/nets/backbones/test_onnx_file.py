from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.tiny_nets import WIDTH, normalised, pictures, tiny_net, write_onnx
from onnx import TensorProto, helper

from ulecli.errors import ModelError, UleError, UsageError
from ulecli.nets.backbones.backbone import Backbone, BackboneOptions, check
from ulecli.nets.backbones.onnx_file import open_onnx


def opened(path: Path, **options: object) -> Backbone:
    return check(open_onnx(path, path.name, BackboneOptions(**options)))


def features(count: int = 5, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    images = pictures(count, side)
    with torch.no_grad():
        return images, tiny_net().features(normalised(images))


@pytest.mark.parametrize("tail", [(), ("Softmax",), ("Identity", "Sigmoid")])
def test_features_are_what_the_classifier_gets(tail: tuple[str, ...], tmp_path: Path) -> None:
    own = opened(write_onnx(tmp_path / "net.onnx", tail=tail))
    images, wanted = features()
    found = own.module()(images)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not own.trainable and own.preprocessing.size == 16 and own.packages == ("onnxruntime",)


def test_a_matrix_product_with_a_sum_is_a_classifier(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net.onnx")
    model = onnx.load(path)
    nodes = model.graph.node
    nodes.remove(nodes[-1])
    weight = next(one for one in model.graph.initializer if one.name == "fc.weight")
    turned = onnx.numpy_helper.from_array(
        np.ascontiguousarray(onnx.numpy_helper.to_array(weight).T), "turned"
    )
    model.graph.initializer.append(turned)
    nodes.append(helper.make_node("MatMul", ["features", "turned"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "fc.bias"], ["logits"]))
    onnx.save(model, path)
    images, wanted = features()
    torch.testing.assert_close(opened(path).module()(images), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("tail", "width"), [(("Tanh",), 3), (("LpNormalization",), 3)])
def test_an_embedding_is_the_output(tail: tuple[str, ...], width: int, tmp_path: Path) -> None:
    own = opened(write_onnx(tmp_path / "net.onnx", tail=tail))
    assert own.module()(pictures(4, 16)).shape == (4, width)


def test_without_a_classifier_features_are_the_output(tmp_path: Path) -> None:
    images, wanted = features()
    own = opened(write_onnx(tmp_path / "net.onnx", classifier=False))
    torch.testing.assert_close(own.module()(images), wanted, atol=1e-5, rtol=1e-5)


def test_layers_by_name(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net.onnx")
    images, wanted = features()
    assert opened(path, layer="output").module()(images).shape == (5, 3)
    maps = opened(path, layer="active")
    torch.testing.assert_close(maps.module()(images), wanted, atol=1e-5, rtol=1e-5)
    assert maps.digest != opened(path).digest
    with pytest.raises(ModelError, match=r"net.onnx has no layer 'activ'; did you mean active\?"):
        opened(path, layer="activ")


@pytest.mark.parametrize("batch", [1, 4])
def test_a_net_of_a_fixed_batch(batch: int, tmp_path: Path) -> None:
    images, wanted = features(6)
    own = opened(write_onnx(tmp_path / "net.onnx", batch=batch))
    torch.testing.assert_close(own.module()(images), wanted, atol=1e-5, rtol=1e-5)


def test_channels_last(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.node.insert(0, helper.make_node("Transpose", ["photos"], ["images"], perm=[0, 3, 1, 2]))
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("photos", TensorProto.FLOAT, ["N", 16, 16, 3]))
    onnx.save(model, path)
    images, wanted = features()
    torch.testing.assert_close(opened(path).module()(images), wanted, atol=1e-5, rtol=1e-5)


def test_size_and_normalisation_of_the_file(tmp_path: Path) -> None:
    stated = {"mean": "[0.5, 0.5, 0.5]", "std": "0.5", "size": "24"}
    own = opened(write_onnx(tmp_path / "free.onnx", size=None, metadata=stated))
    assert own.preprocessing.size == 24 and own.preprocessing.std == (0.5, 0.5, 0.5)
    assert opened(write_onnx(tmp_path / "none.onnx", size=None), size=40).preprocessing.size == 40
    assert opened(write_onnx(tmp_path / "fixed.onnx"), size=16).preprocessing.size == 16
    with pytest.raises(UsageError, match="16 x 16 alone, not of 24: say --backbone-size 16"):
        opened(tmp_path / "fixed.onnx", size=24)


def test_nets_that_are_no_backbones(tmp_path: Path) -> None:
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    empty = tmp_path / "empty.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "none", [], [])), empty)
    gray = write_onnx(tmp_path / "gray.onnx", channels=1)
    broken = write_onnx(tmp_path / "broken.onnx")
    model = onnx.load(broken)
    model.graph.node[1].op_type = "Reluu"
    onnx.save(model, broken)
    table = tmp_path / "table.onnx"
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    onnx.save(
        helper.make_model(
            helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "table", values[:1], values[1:])
        ),
        table,
    )
    two = tmp_path / "two.onnx"
    onnx.save(
        helper.make_model(
            helper.make_graph([helper.make_node("Add", ["x", "y"], ["z"])], "two", values, values[:1])
        ),
        two,
    )
    for path in (noise, empty, gray, broken, table, two):
        with pytest.raises(UleError) as error:
            opened(path)
        assert path.name in str(error.value) and "\n" not in str(error.value), error.value


def test_the_width_of_the_tiny_net(tmp_path: Path) -> None:
    assert opened(write_onnx(tmp_path / "net.onnx")).module()(pictures(1, 40)).shape == (1, WIDTH)
