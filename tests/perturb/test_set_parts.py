from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ulecli.errors import TargetError
from ulecli.perturb.set_parts import SetParts


def written(folder: Path, count: int, fingerprint: str = "one") -> list[np.ndarray]:
    """Write parts of numbers that a generator draws one after the other."""
    rng, parts, found = np.random.default_rng(3), SetParts(folder, fingerprint), []
    for number in range(count):
        found.append(rng.integers(-32, 33, (2, 1, 4, 4), np.int8))
        parts.add(number, found[-1], rng)
    return found


def test_what_was_written_is_read_and_the_generator_goes_on(tmp_path) -> None:
    whole = written(tmp_path / "whole", 4)
    some = written(tmp_path / "some", 2)
    rng = np.random.default_rng(0)
    read = list(SetParts(tmp_path / "some", "one").read(rng))
    assert len(read) == 2 and all(map(np.array_equal, read, some))
    for part in whole[2:]:
        assert np.array_equal(rng.integers(-32, 33, (2, 1, 4, 4), np.int8), part)


def test_nothing_is_read_where_nothing_is(tmp_path) -> None:
    rng = np.random.default_rng(0)
    assert list(SetParts(tmp_path / "none", "one").read(rng)) == []
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_parts_of_another_work_are_left_alone(tmp_path) -> None:
    written(tmp_path, 2)
    assert list(SetParts(tmp_path, "two").read(np.random.default_rng(0))) == []


@pytest.mark.parametrize("length", [0, 10, 300, -1])
def test_a_damaged_part_ends_what_is_read(length: int, tmp_path) -> None:
    parts = written(tmp_path, 3)
    second = tmp_path / "00001.npz"
    second.write_bytes(second.read_bytes()[:length])
    rng = np.random.default_rng(0)
    (first,) = SetParts(tmp_path, "one").read(rng)
    assert np.array_equal(first, parts[0])
    assert np.array_equal(rng.integers(-32, 33, (2, 1, 4, 4), np.int8), parts[1])  # made again as it was


def test_a_changed_byte_is_noticed(tmp_path) -> None:
    written(tmp_path, 1)
    file = tmp_path / "00000.npz"
    content = bytearray(file.read_bytes())
    content[content.index(b"descr") + 110] ^= 1  # within the array
    file.write_bytes(content)
    assert list(SetParts(tmp_path, "one").read(np.random.default_rng(0))) == []


def test_a_full_disk_is_one_error(small_disk) -> None:
    parts = SetParts(small_disk, "one")
    with pytest.raises(TargetError, match="can't write to"):
        parts.add(0, np.zeros((3000, 1, 32, 32), np.int8), np.random.default_rng(0))
    assert not list(small_disk.iterdir())
