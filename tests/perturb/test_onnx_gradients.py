"""The onnxruntime backend against torch: gradients, delta, and the effect that delta has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ulecli.errors import ModelError
from ulecli.nets.layers import Deviations
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.perturb.directions import DirectionSettings, common_direction, drawn_direction
from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.perturb.onnx_gradients import OnnxGradients
from ulecli.perturb.onnx_gradients import look as numpy_look
from ulecli.perturb.pgd import draw, minimise, views_of
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_gradients import TorchGradients, look
from ulecli.transforms.views import View, ViewPolicy, axis_matrix

CPU = torch.device("cpu")


def trained_net(kind: str, channels: int) -> nn.Sequential:
    """A net with batch statistics and weights that are no longer those of a fresh one."""
    with seeded(2):
        settings = {"widths": (8, 16)} if kind == "conv" else {"size": 16}
        net = make_net(kind, channels=channels, classes=6, **settings).train()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for _ in range(5):
            loss = nn.functional.cross_entropy(net(torch.rand(12, channels, 16, 16)), torch.arange(12) % 6)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


def backends(net: nn.Sequential, channels: int) -> tuple[TorchGradients, OnnxGradients]:
    return TorchGradients(net, CPU), OnnxGradients(gradient_graph(net, channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["conv", "mlp", "linear"])
def test_gradients_are_autograds(kind: str, channels: int) -> None:
    net = trained_net(kind, channels)
    torch_gradients, onnx_gradients = backends(net, channels)
    generator = np.random.default_rng(0)
    images = generator.random((3, channels, 16, 16), np.float32)
    delta = generator.uniform(-0.03, 0.03, images.shape).astype(np.float32)
    labels = np.array([5, 0, 3])
    view = draw(ViewPolicy(sizes=(16,), blur=1.0), generator, 3, 16, None)
    ours = onnx_gradients.gradient(images, delta, labels, view)
    theirs = torch_gradients.gradient(*map(torch.from_numpy, (images, delta, labels)), view).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def feature_net() -> nn.Sequential:
    """A net that returns 6 features, standardised."""
    net = trained_net("conv", 3)
    net.add_module("deviations", Deviations(6))
    net.deviations.deviations.copy_(torch.linspace(0.5, 2, 6))
    return net.eval()


def feature_backends() -> tuple[TorchGradients, OnnxGradients]:
    net = feature_net()
    return TorchGradients(net, CPU), OnnxGradients(gradient_graph(net, 3, feature="deviations"))


@pytest.mark.parametrize("gray", [False, True])
def test_both_backends_follow_directions_alike(gray: bool) -> None:
    generator = np.random.default_rng(0)
    images = generator.random((3, 3, 20, 20), np.float32)
    delta = generator.uniform(-0.03, 0.03, (3, 1, 20, 20)).astype(np.float32)
    directions = generator.standard_normal((3, 6), np.float32)
    view = replace(draw(ViewPolicy(sizes=(16,)), generator, 3, 20, None), gray=gray)
    theirs, ours = feature_backends()
    expected = theirs.gradient(*map(torch.from_numpy, (images, delta, directions)), view).numpy()
    found = ours.gradient(images, delta, directions, view)
    assert found.shape == delta.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    other = ours.gradient(images, delta, directions, replace(view, gray=not gray))
    assert np.abs(found - other).max() > 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("count", [1, 5])
def test_features_are_those_of_the_net(count: int) -> None:
    images = np.random.default_rng(count).random((count, 3, 24, 16), np.float32)
    expected = feature_net()(torch.from_numpy(images)).numpy()
    for surrogate in feature_backends():
        found = surrogate.features(surrogate.asarray(images))
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_both_backends_find_the_same_direction() -> None:
    generator = np.random.default_rng(0)
    images = generator.random((4, 3, 16, 16), np.float32)
    bounds = generator.uniform(0.01, 0.03, (4, 1, 16, 16)).astype(np.float32)
    whole = View(axis_matrix(0.0, 1.0, 16, 16), axis_matrix(0.0, 1.0, 16, 16))
    start = drawn_direction(6, 0)
    found = [
        common_direction(surrogate, images, bounds, start, DirectionSettings(), whole)
        for surrogate in feature_backends()
    ]
    assert found[0] @ found[1] > 0.999 > found[0] @ start


@pytest.mark.parametrize("channels", [1, 3])
def test_both_backends_see_gray_alike(channels: int) -> None:
    images = np.random.default_rng(0).random((3, channels, 16, 16), np.float32)
    view = View(axis_matrix([0.1], [0.9], 16, 12), axis_matrix([0.0], [0.7], 16, 12), gray=True)
    ours, theirs = numpy_look(images, view), look(torch.from_numpy(images), view).numpy()
    assert ours.shape == theirs.shape == (3, channels, 12, 12)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.ptp(ours, axis=1).max() < 1e-6


def test_loss_is_the_cross_entropy() -> None:
    net = trained_net("conv", 1)
    images, labels = np.random.default_rng(0).random((4, 1, 24, 32), np.float32), np.array([0, 1, 2, 5])
    (loss,) = OnnxGradients(gradient_graph(net, 1)).session.run(
        ["loss"], {"images": images, "labels": labels}
    )
    expected = nn.functional.cross_entropy(
        net(torch.from_numpy(images)), torch.from_numpy(labels), reduction="none"
    )
    np.testing.assert_allclose(loss, expected.numpy(), rtol=1e-5)


def test_delta_and_its_effect_are_the_same_on_both_backends() -> None:
    net = trained_net("conv", 1)
    generator = np.random.default_rng(4)
    images, labels = generator.random((8, 1, 32, 32), np.float32), generator.integers(0, 6, 8)
    chosen = PgdSettings(steps=10, augment=ViewPolicy(sizes=(16, 32), blur=0.3))
    found = []
    for surrogate in backends(net, 1):
        rng = np.random.default_rng(0)
        delta = minimise(
            surrogate,
            surrogate.asarray(images),
            surrogate.asarray(labels),
            chosen,
            views_of(chosen, rng, 8, 32),
            epsilon=8 / 255,
            rng=rng,
        )
        found.append(np.rint(surrogate.asnumpy(delta) * 255))
    # A gradient near 0 may get either sign, so single cells can differ; what the surrogate sees may not.
    assert (found[0] == found[1]).mean() > 0.97
    losses = [
        nn.functional.cross_entropy(
            net(torch.from_numpy((images + delta / 255).astype(np.float32))), torch.from_numpy(labels)
        ).item()
        for delta in found
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("quality", "bits"), [(0, 8), (10, 8), (75, 8), (0, 2), (0, 4)])
def test_both_backends_store_alike(channels: int, quality: int, bits: int) -> None:
    unchanged = axis_matrix([0.0], [1.0], 16, 16)
    view = View(unchanged, unchanged, quality, bits)
    levels = np.random.default_rng(0).integers(0, 256, (5, channels, 16, 16))
    images = (levels / 255).astype(np.float32)
    ours, theirs = numpy_look(images, view), look(torch.from_numpy(images), view).numpy()
    np.testing.assert_allclose(ours, theirs, atol=3 / 255 if quality and channels == 3 else 1.01 / 255)
    assert np.abs(ours - theirs).mean() < 1e-3


def test_a_layer_without_a_rule_is_named() -> None:
    with pytest.raises(ModelError, match="Softshrink"):
        gradient_graph(nn.Sequential(nn.Softshrink()).eval(), 1)


def test_a_damaged_graph_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="can't load"):
        OnnxGradients(b"not a graph")


def test_a_flat_picture_gets_the_mean_of_the_gradients_around_it() -> None:
    # torch gives a tie to its first cell, which no other backend does; what both agree on is a hair off flat.
    net = trained_net("conv", 1)
    torch_gradients, onnx_gradients = backends(net, 1)
    labels = np.array([1])
    flat, still = np.full((1, 1, 16, 16), 0.5, np.float32), np.zeros((1, 1, 16, 16), np.float32)
    ours = onnx_gradients.gradient(flat, still, labels, None)
    generator = np.random.default_rng(0)
    nearly = [
        torch_gradients.gradient(
            torch.from_numpy(flat + generator.normal(0, 1e-6, flat.shape).astype(np.float32)),
            torch.from_numpy(still),
            torch.from_numpy(labels),
            None,
        ).numpy()
        for _ in range(400)
    ]
    expected = np.mean(nearly, axis=0)
    assert np.linalg.norm(ours) < 1.5 * np.linalg.norm(expected)
    cosine = (ours * expected).sum() / np.linalg.norm(ours) / np.linalg.norm(expected)
    assert cosine > 0.9
