"""The PGD loop against a naive one in float64, and what every delta must keep to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ulecli.errors import ModelError, UsageError
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.perturb.pgd import minimise, views_of, weighing
from ulecli.perturb.sets import class_delta, set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_gradients import TorchGradients
from ulecli.transforms.gray import gray
from ulecli.transforms.jpeg_dct import jpeg_dct
from ulecli.transforms.views import View, ViewPolicy, axis_matrix

CPU = torch.device("cpu")
EPSILON = 8 / 255


def linear_net(channels: int, size: int = 8, classes: int = 3) -> torch.nn.Sequential:
    with seeded(1):
        net = make_net("linear", channels=channels, classes=classes, size=size)
    return net.eval().double()


def naive_pgd(weights, bias, images, labels, *, epsilon, steps, travel, momentum):
    """Minimise the cross-entropy of a linear net image by image and pixel by pixel, in float64 numpy."""
    deltas = np.zeros_like(images)
    for n, image in enumerate(images):
        delta, direction = np.zeros_like(image), np.zeros_like(image)
        for _ in range(steps):
            shown = image + delta
            logits = weights @ ((np.clip(shown, 0, 1) - 0.47) / 0.25).ravel() + bias
            chances = np.exp(logits - logits.max())
            chances /= chances.sum()
            chances[labels[n]] -= 1
            gradient = (weights.T @ chances).reshape(image.shape) / 0.25
            gradient[(shown > 1) & (gradient < 0) | (shown < 0) & (gradient > 0)] = 0
            direction = momentum * direction + gradient / np.abs(gradient).mean()
            for index in np.ndindex(*delta.shape):
                bound = epsilon[n, 0, *index[1:]]
                moved = delta[index] - travel * bound / steps * np.sign(direction[index])
                delta[index] = min(max(moved, -bound), bound)
        deltas[n] = delta
    return deltas


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.75])
@pytest.mark.parametrize("cell_by_cell", [False, True])
def test_pgd_is_the_naive_loop(channels: int, momentum: float, cell_by_cell: bool) -> None:
    net = linear_net(channels)
    images = np.random.default_rng(0).random((4, channels, 8, 8))
    labels = np.array([0, 1, 2, 1])
    chosen = PgdSettings(steps=5, momentum=momentum, gray=channels == 1, augment=None)
    bounds = np.full((4, 1, 8, 8), EPSILON)
    if cell_by_cell:
        bounds *= np.random.default_rng(1).random(bounds.shape)
    delta = minimise(
        Float64Gradients(net, CPU),
        torch.from_numpy(images),
        torch.from_numpy(labels),
        chosen,
        [None] * 5,
        epsilon=torch.from_numpy(bounds) if cell_by_cell else EPSILON,
        rng=np.random.default_rng(0),
    )
    head = net[-1]
    expected = naive_pgd(
        head.weight.detach().numpy(),
        head.bias.detach().numpy(),
        images,
        labels,
        epsilon=bounds,
        steps=5,
        travel=chosen.travel,
        momentum=momentum,
    )
    np.testing.assert_allclose(delta.numpy(), expected, atol=1e-12)
    assert (np.abs(delta.numpy()) <= bounds).all()


class Float64Gradients(TorchGradients):
    """The gradients of the product without its float32, for comparison with the naive loop."""

    def asarray(self, values):
        return torch.from_numpy(np.asarray(values, np.float64))

    def logits(self, seen):
        return self.net(seen)

    def gradient(self, images, delta, labels, view):
        shown = images + delta
        seen = shown.clip(0, 1).requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(self.net(seen), labels, reduction="sum")
        gradient = torch.autograd.grad(loss, seen)[0]
        return gradient * ~((shown > 1) & (gradient < 0) | (shown < 0) & (gradient > 0))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("augment", [None, ViewPolicy(sizes=(16, 24), jpeg=0.3, posterize=0.3, blur=0.5)])
@pytest.mark.parametrize("random_start", [False, True])
def test_every_variant_lowers_the_loss_within_the_bound(gray, augment, random_start) -> None:
    chosen = PgdSettings(steps=8, views=2, gray=gray, augment=augment, random_start=random_start)
    with seeded(0):
        net = make_net("conv", channels=chosen.channels, classes=5, widths=(8, 8)).eval()
        images = torch.rand(6, chosen.channels, 16, 16)
        labels = torch.arange(6) % 5
    surrogate = TorchGradients(net, CPU)
    rng = np.random.default_rng(0)
    views = views_of(chosen, rng, 6, 16)
    delta = minimise(surrogate, images, labels, chosen, views, epsilon=EPSILON, rng=rng)
    assert delta.shape == images.shape
    assert delta.abs().max() <= EPSILON
    assert (delta < 0).any() and (delta > 0).any()
    loss = torch.nn.functional.cross_entropy
    assert loss(net((images + delta).clip(0, 1)), labels) < loss(net(images), labels)


def test_a_weighed_gradient_makes_a_delta_that_jpeg_leaves() -> None:
    """By a surrogate that asks for all frequencies of one pattern of noise alike."""
    pattern = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images, labels = torch.full((1, 1, 16, 16), 0.5), torch.tensor([0])
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False))
    net[1].weight.data = torch.cat([pattern.flatten(1), -pattern.flatten(1)])
    left = {}
    for quality in (0, 10):
        chosen = PgdSettings(steps=4, augment=None, jpeg_weights=quality)
        surrogate, rng = TorchGradients(net, CPU), np.random.default_rng(0)
        delta = minimise(surrogate, images, labels, chosen, [None] * 4, epsilon=8 / 255, rng=rng)
        assert delta.abs().max() <= EPSILON and net(images + delta)[0, 0] > net(images)[0, 0]
        left[quality] = (jpeg_dct(images + delta, 10) - jpeg_dct(images, 10)).square().mean()
    assert left[10] > 2 * left[0] and left[10] > 0


def test_both_libraries_weigh_alike() -> None:
    gradient = np.random.default_rng(0).normal(size=(2, 1, 16, 16)).astype(np.float32)

    class Numpy:
        asarray = staticmethod(np.asarray)

    ours = weighing(TorchGradients(nn.Identity(), CPU), 10, 16)(torch.from_numpy(gradient))
    np.testing.assert_allclose(ours, weighing(Numpy(), 10, 16)(gradient), atol=1e-6)
    assert weighing(Numpy(), 0, 17)(gradient) is gradient
    with pytest.raises(UsageError, match="whole blocks"):
        weighing(Numpy(), 10, 17)


def test_names_of_the_paper() -> None:
    policy = ViewPolicy()
    names = [PgdSettings(gray=g, augment=a).variant for g in (False, True) for a in (None, policy)]
    assert names == ["ULEO", "ULEO-Augs", "ULEO-Grays", "ULEO-GrayAugs"]


def test_a_shared_view_makes_delta_independent_of_the_batch() -> None:
    with seeded(0):
        net = make_net("conv", channels=1, classes=5, widths=(8, 8)).eval()
        images, labels = torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 2, 3])
    chosen = PgdSettings(steps=4, augment=ViewPolicy(sizes=(16,)))

    def deltas(which: slice) -> torch.Tensor:
        rng, aspects = np.random.default_rng(3), np.array([1.5, 0.7, 1, 2], np.float32)
        views = views_of(chosen, rng, 1, 16, aspects[which])
        surrogate = TorchGradients(net, CPU)
        return minimise(surrogate, images[which], labels[which], chosen, views, epsilon=EPSILON, rng=rng)

    torch.testing.assert_close(deltas(slice(2, 3)), deltas(slice(0, 4))[2:3])


@settings(deadline=None, max_examples=20)
@given(epsilon=st.integers(1, 32), seed=st.integers(0, 2**16))
def test_rounded_levels_stay_within_epsilon(epsilon: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.random((2, 1, 8, 8), np.float32))
    chosen = PgdSettings(steps=3, augment=None, random_start=True)
    surrogate = TorchGradients(linear_net(1).float(), CPU)
    labels, bound = torch.tensor([0, 2]), epsilon / 255
    delta = minimise(surrogate, images, labels, chosen, [None] * 3, epsilon=bound, rng=generator)
    levels = np.rint(surrogate.asnumpy(delta) * 255)
    assert np.abs(levels).max() <= epsilon
    assert levels.min() < 0 < levels.max()


def test_settings_refuse_what_cannot_be() -> None:
    for wrong in ({"steps": 0}, {"views": 0}, {"momentum": 1.0}, {"travel": 0.0}, {"jpeg_weights": 101}):
        with pytest.raises(UsageError):
            PgdSettings(**wrong)


def test_settings_survive_the_card() -> None:
    import json

    chosen = PgdSettings(steps=7, augment=ViewPolicy(sizes=(32, 48), jpeg=0.2))
    assert PgdSettings.from_card(json.loads(json.dumps(chosen.to_card()))) == chosen
    with pytest.raises(ModelError, match="reinstall"):
        PgdSettings.from_card({"augment": None, "pace": 3})


@pytest.mark.parametrize("view", [None, "in colour", "in gray"])
@pytest.mark.parametrize("directions", [False, True])
def test_the_gradient_of_a_tied_delta_is_autograds(view: str | None, directions: bool) -> None:
    """One luma value on pictures in colour: what its three channels would get, in sum."""
    with seeded(1):
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        images = 0.1 + 0.8 * torch.rand(4, 3, 16, 16)
        targets = torch.randn(4, 24) if directions else torch.tensor([3, 0, 23, 7])
    delta = torch.zeros(4, 1, 16, 16).uniform_(-0.03, 0.03, generator=torch.Generator().manual_seed(0))
    looked = None
    if view:
        matrix = axis_matrix(0.1, 0.9, 16, 12)
        looked = View(matrix, matrix[:, ::-1].copy(), gray=view == "in gray")
    ours = TorchGradients(net, CPU).gradient(images, delta, targets, looked)
    exact = delta.double().requires_grad_()
    seen = images.double() + exact
    if looked:
        if looked.gray:
            seen = gray(seen).expand(-1, 3, -1, -1)
        seen = torch.from_numpy(looked.rows).double() @ seen @ torch.from_numpy(looked.columns).double().mT
    found = net.double()(seen)
    loss = (
        (found * targets).sum()
        if directions
        else torch.nn.functional.cross_entropy(found, targets, reduction="sum")
    )
    loss.backward()
    assert exact.grad is not None
    torch.testing.assert_close(ours.double(), exact.grad, rtol=0, atol=1e-5 * exact.grad.abs().max().item())


def test_one_value_is_found_for_pictures_in_colour_and_moves_them_along_a_direction() -> None:
    chosen = PgdSettings(steps=6, colour=True, augment=None)
    assert (chosen.channels, PgdSettings(gray=False).channels, PgdSettings().channels) == (3, 3, 1)
    with seeded(2):
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        images, direction = torch.rand(3, 3, 12, 12), torch.randn(3, 6)
        bounds = torch.rand(3, 1, 12, 12) * EPSILON
    surrogate, rng = TorchGradients(net.requires_grad_(False), CPU), np.random.default_rng(0)
    delta = minimise(surrogate, images, -direction, chosen, [None] * 6, epsilon=bounds, rng=rng)
    assert delta.shape == bounds.shape and (delta.abs() <= bounds).all()
    moved = net((images + delta).clip(0, 1)) - net(images)
    assert ((moved * direction).sum(1) > 0).all()


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("saturate", [False, True])
def test_classwise_delta_of_one_image_a_class_is_samplewise(gray: bool, saturate: bool) -> None:
    images = torch.randint(
        0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    labels = torch.tensor([2, 0, 1])
    net = linear_net(1 if gray else 3).float()
    chosen = PgdSettings(steps=4, gray=gray, augment=None, saturate=saturate)
    classwise = class_delta(net, images, labels, 3, chosen)
    samplewise = set_delta(net, images, labels, chosen)
    assert torch.equal(classwise[labels], samplewise)
    if saturate:
        assert set(samplewise.abs().flatten().tolist()) == {8}


def test_classwise_delta_lowers_the_loss_of_its_whole_class() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(60) % 3
    net = linear_net(1).float()
    delta = class_delta(net, images, labels, 3, PgdSettings(steps=6, augment=None))
    assert delta.shape == (3, 1, 8, 8) and delta.abs().max() <= 8 and delta.min() < 0 < delta.max()
    luma = (images.float() / 255 * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    loss = torch.nn.functional.cross_entropy
    assert loss(net(luma + delta[labels] / 255), labels) < loss(net(luma), labels)


def test_the_sign_survives_a_net_that_is_sure() -> None:
    net = linear_net(1).float()
    with torch.no_grad():
        net[-1].weight *= 100
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = net(images).argmax(1)  # sure and right: softmax - onehot has nothing left of the label's term
    ours = TorchGradients(net, CPU).gradient(images, torch.zeros_like(images), labels, None)
    logits = net.double()(images.double())
    chances = logits.softmax(1)
    others = chances.masked_fill(torch.nn.functional.one_hot(labels, 3).bool(), 0)
    exact = (others - torch.nn.functional.one_hot(labels, 3) * others.sum(1, keepdim=True)) @ net[-1].weight
    assert (ours.flatten(1).sign() == exact.sign()).float().mean() > 0.99


def test_saturated_cells_of_a_white_image_come_back() -> None:
    images = torch.ones(3, 1, 8, 8)
    chosen = PgdSettings(steps=10, augment=None, random_start=True)
    net = linear_net(1).float()
    rng, labels = np.random.default_rng(0), torch.arange(3)
    surrogate = TorchGradients(net, CPU)
    delta = minimise(surrogate, images, labels, chosen, [None] * 10, epsilon=EPSILON, rng=rng)
    uphill = TorchGradients(net, CPU).gradient(images, torch.zeros_like(images), torch.arange(3), None) > 0
    assert (delta[uphill] == -EPSILON).float().mean() > 0.95
