from __future__ import annotations

import numpy as np
import pytest
import torch

from ulecli.nets.conv import conv
from ulecli.nets.seeding import seeded
from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.perturb.onnx_gradients import OnnxGradients
from ulecli.perturb.torch_gradients import TorchGradients

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("halved", [False, True])
def test_the_stages_work_at_the_size_that_the_stem_leaves(halved: bool) -> None:
    net = conv(channels=1, classes=4, stem=8, widths=(8, 16), halved=halved)
    seen: list[tuple[int, ...]] = []
    for layer in net:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda one, inputs, output: seen.append(tuple(output.shape[2:])))
    side = 16 if halved else 32
    assert net(torch.rand(2, 1, 32, 32)).shape == (2, 4)
    half = (side // 2, side // 2)
    assert seen == [(side, side), (side, side), half, half, (side // 4, side // 4)]


def test_every_pixel_reaches_a_halved_net() -> None:
    with seeded(0):
        net = conv(channels=1, classes=4, stem=8, widths=(8,), halved=True).eval()
    features = net[:4]  # before the strongest response alone counts
    images = torch.rand(1, 1, 16, 16).requires_grad_(True)
    (gradient,) = torch.autograd.grad(features(images).sum(), images)
    assert (gradient != 0).all()


def test_onnxruntime_has_the_gradients_of_a_halved_net() -> None:
    with seeded(0):
        net = conv(channels=1, classes=4, stem=8, widths=(8, 16), halved=True)
        images, labels = torch.rand(5, 1, 32, 32), torch.tensor([0, 1, 2, 3, 0])
    net.train()(images)
    net.eval().requires_grad_(False)
    delta = torch.zeros_like(images)
    ours = TorchGradients(net, torch.device("cpu")).gradient(images, delta, labels, None).numpy()
    graph = OnnxGradients(gradient_graph(net, 1))
    theirs = graph.gradient(images.numpy(), delta.numpy(), labels.numpy(), None)
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
