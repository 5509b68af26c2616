from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ulecli.system.torchvision_shim import import_torchvision
from ulecli.transforms.geometry import Axes, axes_of, blur, see
from ulecli.transforms.views import View, ViewPolicy, axis_matrix, shift_matrix

torchvision = import_torchvision().transforms.functional


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 24, 31, generator=torch.Generator().manual_seed(0))


def crop_resize(images: torch.Tensor, boxes: list, height: int, width: int) -> torch.Tensor:
    """Crop a box (top, left, bottom, right; 1 is the far edge) from each image and resize it."""
    top, left, bottom, right = np.asarray(boxes, np.float64).T
    rows = axis_matrix(top, bottom, images.shape[2], height)
    return see(images, View(rows, axis_matrix(left, right, images.shape[3], width)))


def shift(images: torch.Tensor, offsets: list) -> torch.Tensor:
    """Shift each image by whole pixels down and to the right."""
    height, width = images.shape[2:]
    # shift_matrix moves the window, so the picture moves the other way.
    down, right = -np.asarray(offsets, np.float64).T
    rows = shift_matrix(down / height, height, height, 0.0)
    return see(images, View(rows, shift_matrix(right / width, width, width, 0.0)))


def flip(images: torch.Tensor, mirrored: list) -> torch.Tensor:
    height, width = images.shape[2:]
    rows = axis_matrix(0.0, 1.0, height, height)
    return see(images, View(rows, axis_matrix(0.0, 1.0, width, width, flip=mirrored)))


def test_see_equals_the_numpy_view(images):
    square = images[..., :24]
    view = ViewPolicy(sizes=(16,), blur=1.0).draw(np.random.default_rng(0), 3, 24)
    expected = torch.from_numpy(view.see(square.numpy()))
    torch.testing.assert_close(see(square, view), expected)
    torch.testing.assert_close(see(square, axes_of(view, square)), expected)


def test_gradient_of_see_is_the_adjoint(images):
    square = images[..., :24].clone().requires_grad_()
    view = ViewPolicy(sizes=(16,)).draw(np.random.default_rng(0), 3, 24)
    seen = see(square, view)
    weights = torch.rand(seen.shape, generator=torch.Generator().manual_seed(1))
    (seen * weights).sum().backward()
    torch.testing.assert_close(square.grad, torch.from_numpy(view.adjoint(weights.numpy())))


def test_axes_take_the_dtype_of_the_images(images):
    view = View(np.eye(24, dtype=np.float32)[None], np.eye(31, dtype=np.float32)[None])
    axes = axes_of(view, images.double())
    assert isinstance(axes, Axes)
    assert axes.rows.dtype == axes.columns.dtype == torch.float64
    assert torch.equal(see(images.double(), axes), images.double())


@pytest.mark.parametrize(("height", "width"), [(24, 31), (12, 10), (7, 31), (48, 90)])
def test_resize_equals_torchvision(images, height, width):
    expected = torchvision.resize(images, [height, width], antialias=True)
    torch.testing.assert_close(
        crop_resize(images, [[0, 0, 1, 1]], height, width), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("box", [(0.0, 0.0, 24.0, 31.0), (3.5, 2.25, 20.0, 30.5), (10.0, 8.0, 14.0, 13.0)])
def test_crop_resize_equals_pillow(images, box):
    top, left, bottom, right = box
    plane = Image.fromarray(images[0, 0].numpy())  # 32-bit float, so that Pillow doesn't round
    picture = plane.resize((16, 12), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    seen = crop_resize(images, [[top / 24, left / 31, bottom / 24, right / 31]], 12, 16)[0, 0]
    expected = torch.from_numpy(np.array(picture))
    # Pillow reads cells beyond an inner box's edge only as far as its filter reaches, and so do we.
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)


def test_each_image_has_its_own_box(images):
    boxes = [[0, 0, 0.5, 0.5], [0.25, 0.1, 1, 0.9], [0, 0, 1, 1]]
    together = crop_resize(images, boxes, 9, 8)
    alone = torch.cat([crop_resize(one[None], [box], 9, 8) for one, box in zip(images, boxes, strict=True)])
    torch.testing.assert_close(together, alone)


def test_shift_repeats_the_edge(images):
    offsets = [(2, -3), (0, 4), (-5, 0)]
    shifted = shift(images, offsets)
    for image, seen, (down, right) in zip(images.numpy(), shifted, offsets, strict=True):
        padded = np.pad(image, ((0, 0), (5, 5), (5, 5)), mode="edge")
        rolled = np.roll(padded, (down, right), axis=(1, 2))[:, 5:-5, 5:-5]
        torch.testing.assert_close(seen, torch.from_numpy(rolled.copy()), atol=1e-6, rtol=0)


def test_flip_mirrors_only_those_asked_for(images):
    seen = flip(images, [True, False, True])
    assert torch.equal(seen[1], images[1])
    assert torch.equal(seen[::2], images[::2].flip(3))


def test_blur_equals_torchvision_inside(images):
    seen = blur(images, 0.8)
    expected = torchvision.gaussian_blur(images, [13, 13], [0.8, 0.8])
    # At the edges torchvision reflects the picture and we normalise the weights.
    inside = (..., slice(6, -6), slice(6, -6))
    torch.testing.assert_close(seen[inside], expected[inside], atol=1e-5, rtol=0)
    torch.testing.assert_close(blur(torch.ones_like(images), 0.8), torch.ones_like(images))


def test_misuse(images):
    with pytest.raises(ValueError, match="view's rows have shape"):
        see(images, View(np.ones((1, 4, 9), np.float32), np.ones((1, 4, 31), np.float32)))
    with pytest.raises(ValueError, match="view's columns have shape"):
        see(images, View(np.ones((1, 4, 24), np.float32), np.ones((2, 4, 31), np.float32)))
    with pytest.raises(ValueError, match="must be positive"):
        blur(images, 0.0)
    with pytest.raises(ValueError, match="C of 1 or 3"):
        blur(torch.rand(1, 2, 8, 8), 1.0)
