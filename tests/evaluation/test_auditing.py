from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_runs import SHAPES, tiny  # noqa: F401

from ulecli.errors import DeviceUnavailable, UleError
from ulecli.evaluation.auditing import audited
from ulecli.evaluation.config import EvaluateConfig

pytestmark = pytest.mark.usefixtures("tiny")


def written(path: Path, images: torch.Tensor) -> Path:
    np.save(path, images.numpy())
    return path


@pytest.fixture
def poisons(tmp_path) -> tuple[Path, Path]:
    """One as it should be, and one in another order."""
    images = SHAPES.train.images ^ 1
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    return written(tmp_path / "good.npy", images), written(tmp_path / "mixed.npy", images[order])


def test_poisons_and_defenders_are_compared_and_nothing_is_trained_or_kept(
    poisons, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("ulecli.evaluation.workers.run", lambda *_, **__: pytest.fail("training"))
    config = EvaluateConfig(
        dataset="shapes", defenders=("noise",), poisons=poisons, out=tmp_path / "out", mix=(50, 50)
    )
    found = {one.name: one for one in audited(config)}
    assert list(found) == ["noise", "good", "mixed"]
    assert found["noise"].audit["max_change"] == 8
    assert (found["good"].audit["max_change"], found["good"].audit["misplaced"]) == (1, 0)
    assert found["good"].audit["kind"] == "images in levels"
    assert found["mixed"].audit["misplaced"] > 0.5
    assert any("another order" in line for line in found["mixed"].warnings)
    assert not (tmp_path / "out").exists()
    assert not any(one.file.exists() for one in found.values())


def test_what_can_not_be_audited(tmp_path, poisons) -> None:
    config = EvaluateConfig(
        dataset="shapes", poisons=(written(tmp_path / "few.npy", SHAPES.train.images[:7]),)
    )
    with pytest.raises(UleError, match="holds 7 images"):
        audited(config)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceUnavailable):
            audited(EvaluateConfig(dataset="shapes", poisons=poisons, device="cuda"))
