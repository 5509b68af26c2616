"""The torch backend on a CUDA device against the CPU; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ulecli.data.shapes import shapes
from ulecli.surrogates import store
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import CueReader
from ulecli.system.devices import Device

COUNT, EPSILON = 32, 8


def photos(side: int) -> NDArray[np.float32]:
    """Smooth pictures, (COUNT, 3, side, side) of whole levels on the unit scale."""
    small = [Image.fromarray(image.movedim(0, 2).numpy()) for image in shapes(COUNT).images]
    large = [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    return np.stack(large).transpose(0, 3, 1, 2).astype(np.float32) / 255


def deltas(device: Device, size: int) -> NDArray[np.int8]:
    """The delta of each photo, made in batches of a size."""
    perturber = open_perturber("photo", device=device)
    images, codes = photos(perturber.grid), np.arange(COUNT)
    parts = [slice(start, start + size) for start in range(0, COUNT, size)]
    aspects = np.linspace(0.5, 2, COUNT, dtype=np.float32)
    found = [perturber(images[part], codes[part], aspects[part], epsilon=EPSILON) for part in parts]
    return np.concatenate(found)


def recognised(delta: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether the net of its family gives each photo with its delta the code that it was made for."""
    reader = CueReader("photo")
    levels = np.clip(np.rint(photos(reader.grid) * 255) + delta, 0, 255).astype(np.uint8)
    losses = reader.losses([Image.fromarray(image) for image in levels.transpose(0, 2, 3, 1)])
    codes = np.arange(COUNT)
    families = losses.reshape(COUNT, reader.families, reader.classes)[codes, codes // reader.classes]
    return families.argmin(1) == codes % reader.classes


@pytest.mark.gpu
def test_cuda_gives_the_delta_of_the_cpu() -> None:
    assert torch.cuda.is_available(), "no CUDA device: choose another marker"
    grid = store.load_card("photo").protocol["grid"]
    images = np.random.default_rng(0).random((8, 3, grid, grid), np.float32)
    codes, aspects = np.arange(8), np.ones(8, np.float32)
    found = [
        open_perturber("photo", device=device)(images, codes, aspects, epsilon=8)
        for device in (Device.CPU, Device.CUDA)
    ]
    assert (found[0] == found[1]).mean() > 0.95


@pytest.mark.gpu
def test_batches_on_cuda_keep_the_bound_and_the_code(record_property) -> None:
    """The contract of `ulecli.perturb.perturber`, and how far batches of 32 are from single photos."""
    assert torch.cuda.is_available(), "no CUDA device: choose another marker"
    single, batched = deltas(Device.CUDA, 1), deltas(Device.CUDA, COUNT)
    differing = float((single != batched).mean())
    record_property("differing_share", differing)
    record_property("largest_difference", int(np.abs(single.astype(int) - batched).max()))
    for found in (single, batched):
        assert np.abs(found.astype(int)).max() == EPSILON
    assert differing < 0.05
    assert np.array_equal(recognised(single), recognised(batched))
    assert np.array_equal(recognised(batched), recognised(deltas(Device.CPU, 1)))
