"""The torch backend on a CUDA device against the CPU; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ulecli.data.shapes import shapes
from ulecli.surrogates import store
from ulecli.surrogates.opening import open_perturber
from ulecli.system.devices import Device

COUNT, STRENGTH = 32, 6


def photos(side: int) -> NDArray[np.float32]:
    """Smooth pictures, (COUNT, 3, side, side) of whole levels on the unit scale."""
    small = [Image.fromarray(image.movedim(0, 2).numpy()) for image in shapes(COUNT).images]
    large = [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    return np.stack(large).transpose(0, 3, 1, 2).astype(np.float32) / 255


def bounds(side: int) -> NDArray[np.float32]:
    """How far the cells of each picture may be moved: less on the left."""
    return np.broadcast_to(np.linspace(1, STRENGTH, side, dtype=np.float32), (COUNT, 1, side, side)).copy()


@cache
def directions() -> NDArray[np.float32]:
    """One for each half of the pictures, found on the CPU."""
    perturber = open_perturber("photo", device=Device.CPU)
    images, amplitudes = photos(perturber.grid), bounds(perturber.grid)
    found = [perturber.direction(images[half::2][:8], amplitudes[:8], half) for half in (0, 1)]
    return np.stack(found)[np.arange(COUNT) % 2]


def deltas(device: Device, size: int) -> NDArray[np.int8]:
    """The delta of each photo, made in batches of a size."""
    perturber = open_perturber("photo", device=device)
    images, amplitudes = photos(perturber.grid), bounds(perturber.grid)
    aspects = np.linspace(0.5, 2, COUNT, dtype=np.float32)
    parts = [slice(start, start + size) for start in range(0, COUNT, size)]
    found = [perturber(images[part], directions()[part], amplitudes[part], aspects[part]) for part in parts]
    return np.concatenate(found)


def recognised(delta: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether the net on the CPU sees each photo moved along its direction."""
    perturber = open_perturber("photo", device=Device.CPU)
    return perturber.recognised(photos(perturber.grid), directions(), delta)


@pytest.mark.gpu
def test_cuda_gives_the_delta_of_the_cpu() -> None:
    assert torch.cuda.is_available(), "no CUDA device: choose another marker"
    found = [deltas(device, 8) for device in (Device.CPU, Device.CUDA)]
    assert (found[0] == found[1]).mean() > 0.95


@pytest.mark.gpu
def test_cuda_finds_the_direction_of_the_cpu() -> None:
    assert torch.cuda.is_available(), "no CUDA device: choose another marker"
    grid = store.load_card("photo").protocol["grid"]
    images, amplitudes = photos(grid)[:8], bounds(grid)[:8]
    cpu, cuda = (
        open_perturber("photo", device=device).direction(images, amplitudes, 0)
        for device in (Device.CPU, Device.CUDA)
    )
    assert cpu @ cuda > 0.95


@pytest.mark.gpu
def test_batches_on_cuda_keep_the_bound_and_the_direction(record_property) -> None:
    """The contract of `ulecli.perturb.perturber`, and how far batches of 32 are from single photos."""
    assert torch.cuda.is_available(), "no CUDA device: choose another marker"
    single, batched = deltas(Device.CUDA, 1), deltas(Device.CUDA, COUNT)
    differing = float((single != batched).mean())
    record_property("differing_share", differing)
    record_property("largest_difference", int(np.abs(single.astype(int) - batched).max()))
    for found in (single, batched):
        assert (np.abs(found.astype(int)) <= np.rint(bounds(found.shape[-1]))).all()
        assert np.abs(found).max() == STRENGTH
    assert differing < 0.05
    assert np.array_equal(recognised(single), recognised(batched))
    assert np.array_equal(recognised(batched), recognised(deltas(Device.CPU, 1)))
