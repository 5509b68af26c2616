from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ulecli.evaluation.poisons.pickles import read_pickle

ARRAYS = {
    "bytes": np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.random.default_rng(0).random((3, 4))),
    "other order": np.arange(6, dtype=">f4").reshape(2, 3),
    "booleans": np.array([True, False]),
    "a view": np.arange(20, dtype=np.int16)[::3],
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    held = {"noise": array, "list": [array, array], "labels": [np.int64(3), 4], "who": "em"}
    path.write_bytes(pickle.dumps(held, protocol=protocol))
    found = read_pickle(path)
    for one in (found["noise"], *found["list"]):
        assert one.dtype == array.dtype and np.array_equal(one, array)
        assert one.flags.writeable or not one.size
    assert found["labels"] == [3, 4] and found["who"] == "em"


def test_what_older_numpy_called_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    written = pickle.dumps(ARRAYS["bytes"], protocol=2)
    path.write_bytes(written.replace(b"numpy._core.", b"numpy.core."))
    assert np.array_equal(read_pickle(path), ARRAYS["bytes"])


class Runs:
    """An object whose unpickling calls something with arguments."""

    def __init__(self, action: Any, *arguments: Any) -> None:
        self.action, self.arguments = action, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.action, self.arguments


@pytest.mark.parametrize(
    "held",
    [
        Runs(os.mkdir, "made"),
        Runs(eval, "__import__('os').mkdir('made')"),
        [ARRAYS["bytes"], {"x": Runs(os.mkdir, "made")}],
        np.array([Runs(os.mkdir, "made")], object),
        np.array([None, None], object),
        np.array([(1, 2)], [("a", "i4"), ("b", "i4")]),
        np.array(["text"]),
        np.array(["2026-01-01"], "M8[D]"),
        Runs(np.dtype, "O8"),
        Runs(np.fromfile, "made"),
        Runs(np.lib.format.open_memmap, "made"),
        torch.zeros(3),
        np.random.default_rng(0),
    ],
)
def test_nothing_but_numbers_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: object) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(held, protocol=protocol))
        with pytest.raises(pickle.UnpicklingError):
            read_pickle(tmp_path / "x.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


def test_shapes_that_do_not_fit_their_bytes(tmp_path: Path) -> None:
    written = pickle.dumps(ARRAYS["bytes"], protocol=2)
    (tmp_path / "x.pkl").write_bytes(written.replace(b"K\x02K\x03K\x04", b"K\x7fK\x7fK\x7f"))
    with pytest.raises(ValueError, match="reshape"):
        read_pickle(tmp_path / "x.pkl")
