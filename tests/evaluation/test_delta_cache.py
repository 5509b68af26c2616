from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ulecli.evaluation.delta_cache import DeltaCache, usual_folder


def delta(seed: int, count: int = 40, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8, 9, (count, channels, 32, 32), generator=generator, dtype=torch.int16)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_delta_comes_back_as_it_was(channels: int, tmp_path: Path) -> None:
    cache, made = DeltaCache(tmp_path / "cache"), delta(0, channels=channels)
    assert cache.find("one") is None and not cache.has("one")
    assert cache.add("one", made) and cache.add("two", delta(1))
    found = DeltaCache(tmp_path / "cache").find("one")
    assert found is not None and found.dtype == torch.int16 and torch.equal(found, made)
    assert cache.has("two") and not cache.has("three")


def test_it_takes_less_than_a_byte_a_pixel(tmp_path: Path) -> None:
    made = 8 * delta(0).sign()
    DeltaCache(tmp_path).add("one", made)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < made.numel() / 2


def test_what_is_damaged_is_not_there(tmp_path: Path) -> None:
    cache = DeltaCache(tmp_path)
    cache.add("one", delta(0))
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert cache.find("one") is None and not cache.has("one")
    assert cache.add("one", delta(0)) and cache.find("one") is not None


def test_the_oldest_make_room(tmp_path: Path) -> None:
    cache = DeltaCache(tmp_path)
    cache.add("first", delta(0))
    size = next(tmp_path.iterdir()).stat().st_size
    small = DeltaCache(tmp_path, limit=round(2.5 * size))
    for number in range(3):
        for file in tmp_path.iterdir():
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**10))
        small.add(str(number), delta(number))
    assert [small.has(name) for name in ("first", "0", "1", "2")] == [False, False, True, True]


def test_the_usual_folder_is_that_of_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("/caches") / name)
    assert usual_folder() == Path("/caches/ulecli/deltas")
