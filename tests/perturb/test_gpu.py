"""The torch backend on a CUDA device against the CPU; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ulecli.surrogates import store
from ulecli.surrogates.opening import open_perturber
from ulecli.system.devices import Device


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
