from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ulecli.errors import TargetError
from ulecli.perturb.set_parts import SetParts


def written(folder: Path, count: int) -> list[np.ndarray]:
    """Write parts, the last one first."""
    rng, parts = np.random.default_rng(3), SetParts(folder, "one")
    found = [rng.integers(-32, 33, (2, 1, 4, 4), np.int8) for _ in range(count)]
    for number in reversed(range(count)):
        parts.add(number, found[number])
    return found


def test_what_was_written_is_found(tmp_path) -> None:
    whole = written(tmp_path / "new", 3)
    parts = SetParts(tmp_path / "new", "one")
    assert all(np.array_equal(parts.find(number), part) for number, part in enumerate(whole))
    assert parts.find(0).dtype == np.int8 and parts.find(3) is None


def test_nothing_is_found_where_nothing_is(tmp_path) -> None:
    assert SetParts(tmp_path / "none", "one").find(0) is None
    assert not (tmp_path / "none").exists()


def test_parts_of_another_work_are_left_alone(tmp_path) -> None:
    written(tmp_path, 2)
    assert SetParts(tmp_path, "two").find(0) is None and SetParts(tmp_path, "one").find(0) is not None


@pytest.mark.parametrize("length", [0, 10, 300, -1])
def test_a_damaged_part_is_missing_and_no_other(length: int, tmp_path) -> None:
    whole = written(tmp_path, 3)
    second = tmp_path / "00001.npz"
    second.write_bytes(second.read_bytes()[:length])
    parts = SetParts(tmp_path, "one")
    assert parts.find(1) is None
    assert np.array_equal(parts.find(0), whole[0]) and np.array_equal(parts.find(2), whole[2])
    parts.add(1, whole[1])
    assert np.array_equal(parts.find(1), whole[1])


def test_a_changed_byte_is_noticed(tmp_path) -> None:
    written(tmp_path, 1)
    file = tmp_path / "00000.npz"
    content = bytearray(file.read_bytes())
    content[content.index(b"descr") + 110] ^= 1  # within the array
    file.write_bytes(content)
    assert SetParts(tmp_path, "one").find(0) is None


def test_a_full_disk_is_one_error(small_disk) -> None:
    parts = SetParts(small_disk, "one")
    with pytest.raises(TargetError, match="can't write to"):
        parts.add(0, np.zeros((3000, 1, 32, 32), np.int8))
    assert not list(small_disk.iterdir())
