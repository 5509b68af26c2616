from __future__ import annotations

import numpy as np
import pytest

from ulecli.errors import DeviceUnavailable, ModelError, UsageError
from ulecli.surrogates import opening, store
from ulecli.surrogates.opening import BACKENDS, open_perturber
from ulecli.surrogates.recipe import RECIPES
from ulecli.system.devices import Device


@pytest.mark.parametrize("name", sorted(set(store.names()) & set(RECIPES)))
def test_a_surrogate_for_data_sets_is_refused_for_photos(name: str) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' is for data sets .*; take the 'photo' that ships"):
        open_perturber(name)


def test_an_unknown_surrogate_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no surrogate 'phoot'.*did you mean 'photo'"):
        open_perturber("phoot")


@pytest.mark.parametrize("backend", BACKENDS)
def test_either_backend_opens_the_same_surrogate(backend: str) -> None:
    if backend == "torch":
        pytest.importorskip("torch")
    card = store.load_card("photo")
    found = open_perturber("photo", device=Device.CPU, backend=backend)
    assert backend in found.device and found.device.startswith("cpu")
    assert found.sha256 == card.files["photo.safetensors"].sha256
    assert (found.label, found.grid) == (f"photo {found.sha256[:8]}", card.protocol["grid"])
    assert found.samples == card.protocol["directions"]["photos"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tampered_files_are_refused_by_both_backends(backend: str, tmp_path, monkeypatch) -> None:
    if backend == "torch":
        pytest.importorskip("torch")
    folder = store.directory()
    for path in folder.glob("photo*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path))
    for suffix in (".0.onnx", ".safetensors"):
        harmed = bytearray((tmp_path / f"photo{suffix}").read_bytes())
        harmed[len(harmed) // 2] ^= 1
        (tmp_path / f"photo{suffix}").write_bytes(harmed)
    with pytest.raises(ModelError, match="was changed"):
        open_perturber("photo", device=Device.CPU, backend=backend)


def test_a_device_that_is_not_there_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(opening, "_with_onnx", lambda *_: None)
    monkeypatch.setattr(opening, "_with_torch", lambda *_: None)
    with pytest.raises(DeviceUnavailable, match=r"--device cuda: .* choose --device cpu"):
        open_perturber("photo", device=Device.CUDA)


def test_onnxruntime_is_taken_on_a_cpu() -> None:
    assert "onnxruntime" in open_perturber("photo", device=Device.CPU).device
    assert (
        np.dtype(np.float32)
        == open_perturber("photo")
        .direction(np.zeros((0, 3, 128, 128), np.float32), np.zeros((0, 1, 128, 128), np.float32), 0)
        .dtype
    )
