from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ulecli.data.shapes import shapes
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.nets.fast_conv import Scale, Whiten, fast_conv
from ulecli.nets.seeding import seeded

pytestmark = pytest.mark.usefixtures("one_thread")


def whiten(channels: int = 3) -> Whiten:
    with seeded(0):
        return Whiten(channels)


def patches(images: np.ndarray) -> np.ndarray:
    """Every 2 x 2 patch as a column, by a loop."""
    height, width = images.shape[2:]
    return np.stack(
        [
            image[:, row : row + 2, column : column + 2].ravel()
            for image in images
            for row in range(height - 1)
            for column in range(width - 1)
        ],
        axis=1,
    )


def test_fitted_filters_whiten_the_patches() -> None:
    images = (shapes(40).images / 255 - 0.47) / 0.25
    layer = whiten()
    layer.fit(images, regularisation=0.0)
    bias = layer.bias.detach().view(1, -1, 1, 1)
    out = (layer(images) - bias).detach().double()
    assert out.shape == (40, 24, 31, 31)
    half = out[:, :12].transpose(0, 1).flatten(1)
    power = half @ half.T / half.shape[1]
    assert torch.allclose(power, torch.eye(12, dtype=torch.float64), atol=1e-3)  # unit power, uncorrelated
    assert torch.allclose(out[:, 12:], -out[:, :12], atol=1e-4)


def test_filters_are_numpys_eigenvectors_and_the_strongest_comes_first() -> None:
    images = (shapes(20).images[:, :, :12, :12] / 255 - 0.47) / 0.25
    layer = whiten()
    layer.fit(images, regularisation=5e-4)
    found = patches(images.double().numpy())
    values, vectors = np.linalg.eigh(found @ found.T / found.shape[1])
    expected = (vectors / np.sqrt(values + 5e-4)).T[::-1]
    filters = layer.weight[:12].double().numpy().reshape(12, 12)
    signs = np.sign((filters * expected).sum(1, keepdims=True))  # an eigenvector has no sign of its own
    assert np.allclose(filters, signs * expected, rtol=1e-3, atol=1e-3)


def test_what_hardly_varies_is_not_blown_up() -> None:
    flat = torch.full((4, 3, 8, 8), 0.5)
    layer = whiten()
    layer.fit(flat, regularisation=5e-4)
    assert layer.weight.isfinite().all()
    assert layer.weight.abs().max() <= 1 / 5e-4**0.5 + 1e-3


def test_gray_images_get_copies_of_the_filters_that_have_power() -> None:
    images = (find_exploiter("gray").store(shapes(40).images) / 255 - 0.47) / 0.25
    layer = whiten()
    layer.fit(images, regularisation=0.0)
    filters = layer.weight[:12].flatten(1)
    assert torch.equal(filters[4:8], filters[:4]) and torch.equal(filters[8:], filters[:4])
    with torch.no_grad():
        out = (layer(images) - layer.bias.view(1, -1, 1, 1)).double()
    assert torch.allclose((out**2).mean((0, 2, 3)), torch.ones(24, dtype=torch.float64), atol=1e-3)


def test_unfitted_filters_are_orthogonal_and_fixed() -> None:
    layer = whiten(1)
    half = layer.weight[:4].flatten(1)
    assert torch.allclose(half @ half.T, torch.eye(4), atol=1e-5)
    assert torch.equal(layer.weight[4:], -layer.weight[:4])
    assert not layer.weight.requires_grad and layer.bias.requires_grad
    layer.fit(torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0)), 5e-4)
    assert not layer.weight.requires_grad


@pytest.mark.parametrize(
    ("name", "regularisation"),
    [("standard", 5e-4), ("gray", 5e-4), ("bdr-2", 0.5), ("gray-train-only", 0.5), ("gray+jpeg-10", 0.5)],
)
def test_training_fits_the_filters_to_what_the_exploiter_stored(name, regularisation, monkeypatch) -> None:
    seen: list[tuple[torch.Tensor, float]] = []
    monkeypatch.setattr(Whiten, "fit", lambda layer, images, added: seen.append((images.clone(), added)))
    train, test = shapes(40), shapes(20, seed=1)
    protocol = replace(PRESETS["quick"].small, epochs=1, settings={"widths": (4,)}, least_steps=2)
    train_exploiter(train, test, protocol, find_exploiter(name), 0)
    ((images, added),) = seen
    expected = (find_exploiter(name).store(train.images) / 255 - 0.47) / 0.25
    assert torch.allclose(images, expected)
    assert added == regularisation


@pytest.mark.parametrize("name", ["jpeg-10", "resize-50", "blur-10"])
def test_sharp_test_images_are_recognised_after_training_on_filtered_ones(name: str) -> None:
    protocol = replace(PRESETS["quick"].small, epochs=6, settings={"widths": (16, 32)})
    result = train_exploiter(shapes(1000), shapes(200, seed=1), protocol, find_exploiter(name), 0)
    assert result.peak > 25  # chance is 10, and what whitening blows up leaves no more


def test_first_convolutions_let_their_input_through() -> None:
    with seeded(0):
        net = fast_conv(classes=10, widths=(32, 40))
    layers = [layer for layer in net if type(layer) is nn.Conv2d]
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [
        (24, 32),
        (32, 32),
        (32, 40),
        (40, 40),
    ]
    for layer in layers:
        images = torch.rand(1, layer.in_channels, 6, 6)
        least = min(layer.in_channels, layer.out_channels)
        torch.testing.assert_close(layer(images)[:, :least], images[:, :least])


def test_head_is_damped_and_norms_have_no_scale() -> None:
    with seeded(0):
        net = fast_conv(classes=10, widths=(16, 64, 64))
    assert isinstance(net[-1], Scale) and net[-1].factor == pytest.approx(1 / 9)
    assert torch.equal(net[-1](torch.ones(3)), torch.full((3,), 1 / 9))
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 6
    assert not any(norm.weight.requires_grad for norm in norms) and all(n.bias.requires_grad for n in norms)


@pytest.mark.parametrize("side", [9, 32, 64])
def test_pictures_of_any_size_do(side: int) -> None:
    assert fast_conv(classes=4, widths=(8, 8, 8))(torch.rand(2, 3, side, side + 3)).shape == (2, 4)
