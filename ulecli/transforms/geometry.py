"""Cropping, shifting, mirroring, resizing and blur by one mechanism: one matrix for each axis.

The matrices are those of `ulecli.transforms.views`, which the onnxruntime backend applies as well; here torch
applies them, on the device of the images and with a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ulecli.transforms.quantise import check_images
from ulecli.transforms.views import View, axis_matrix


class Axes(NamedTuple):
    """The matrices of a view on a device.

    Attributes:
        rows: (N or 1, h, H).
        columns: (N or 1, w, W).
    """

    rows: Tensor
    columns: Tensor


def axes_of(view: View, like: Tensor) -> Axes:
    """Move the matrices of a view to the device and dtype of `like`, once for the many steps that use them.

    Returns:
        Matrices that may share memory with the view.
    """
    rows = torch.as_tensor(view.rows, dtype=like.dtype, device=like.device)
    columns = torch.as_tensor(view.columns, dtype=like.dtype, device=like.device)
    return Axes(rows, columns)


def see(images: Tensor, view: View | Axes) -> Tensor:
    """Look at images through a view: ``rows @ image @ columns.T``, whatever it is stored as.

    Args:
        images: (N, C, H, W) floating point, unit scale.
        view: What is seen of each image, or of all alike; `axes_of` saves moving it to the device again.

    Returns:
        (N, C, h, w) unit scale: every row of the matrices sums to 1.

    Raises:
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3, or not what the view is of.
    """
    check_images(images)
    count, _, height, width = images.shape
    rows, columns = view if isinstance(view, Axes) else axes_of(view, images)
    for name, matrices, length in (("rows", rows, height), ("columns", columns, width)):
        if matrices.shape[0] not in (1, count) or matrices.shape[2] != length:
            raise ValueError(
                f"the view's {name} have shape {tuple(matrices.shape)}, but images have {tuple(images.shape)}"
            )
    return rows[:, None] @ images @ columns[:, None].mT


def blur(images: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, H, W) by a Gaussian of `sigma` pixels; at the edges its weights are normalised.

    Raises:
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3, or sigma is not positive.
    """
    check_images(images)
    if sigma <= 0:
        raise ValueError(f"sigma is {sigma}, but must be positive")
    height, width = images.shape[2:]
    rows = axis_matrix(0.0, 1.0, height, height, sigma=sigma)
    return see(images, View(rows, axis_matrix(0.0, 1.0, width, width, sigma=sigma)))
