from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ulecli.errors import TargetError
from ulecli.nets.training_state import read_state, write_state

CPU = torch.device("cpu")


def test_what_is_written_comes_back_with_the_state_of_the_generator(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rng.random(7)
    write_state(tmp_path / "a" / "it", {"weights": torch.arange(5.0), "errors": [0.5]}, rng)
    expected = rng.random(3)
    state = read_state(tmp_path / "a" / "it", CPU)
    assert state is not None and state["errors"] == [0.5]
    assert torch.equal(state["weights"], torch.arange(5.0))
    again = np.random.default_rng(0)
    again.bit_generator.state = state["rng"]
    assert np.array_equal(again.random(3), expected)


@pytest.mark.parametrize("content", ["none", "empty", "nonsense", "half", "no generator", "no dict"])
def test_what_is_damaged_or_lacks_is_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "it"
    if content == "half":
        write_state(file, {"weights": torch.arange(5.0)}, np.random.default_rng(0))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif content.startswith("no "):
        torch.save({"identity": 3} if content == "no generator" else [3], file)
    elif content != "none":
        file.write_bytes(b"" if content == "empty" else b"nonsense")
    assert read_state(file, CPU) is None


def test_a_full_disk_is_one_error_and_leaves_the_last_one(small_disk: Path) -> None:
    file = small_disk / "it"
    write_state(file, {"epochs": 3}, np.random.default_rng(0))
    with pytest.raises(TargetError, match=r"can't write to .*it: .*name another disk"):
        write_state(
            file, {"weights": torch.zeros(2**20)}, np.random.default_rng(0), advice="name another disk"
        )
    state = read_state(file, CPU)
    assert state is not None and state["epochs"] == 3 and list(small_disk.iterdir()) == [file]
