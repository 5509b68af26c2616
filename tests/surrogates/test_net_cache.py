from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from ulecli.surrogates.net_cache import NetCache, usual_folder


def net(value: float) -> nn.Module:
    made = nn.Sequential(nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), nn.BatchNorm2d(4))
    with torch.no_grad():
        made[0].weight.copy_(value + torch.arange(made[0].weight.numel()).reshape(made[0].weight.shape))
    return made


def test_a_net_comes_back_as_it_was(tmp_path) -> None:
    cache, kept = NetCache(tmp_path / "cache"), net(1.5)
    assert cache.find("one") is None and not cache.has("one")
    assert cache.add("one", kept) and cache.add("two", net(2.5))
    found = NetCache(tmp_path / "cache").find("one")
    assert found is not None and found.keys() == kept.state_dict().keys()
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in found.items())
    assert cache.has("one") and not cache.has("three") and cache.find("three") is None


@pytest.mark.skipif(os.name != "posix", reason="permissions are another matter there")
def test_only_the_user_can_read_it(tmp_path) -> None:
    NetCache(tmp_path / "cache").add("one", net(0))
    (file,) = (tmp_path / "cache").iterdir()
    assert file.parent.stat().st_mode & 0o077 == 0 and file.stat().st_mode & 0o077 == 0


def test_what_is_damaged_is_not_there(tmp_path) -> None:
    cache = NetCache(tmp_path)
    cache.add("one", net(0))
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert cache.find("one") is None
    file.write_bytes(b"")
    assert cache.find("one") is None
    assert cache.add("one", net(0)) and cache.find("one") is not None


def test_the_oldest_make_room(tmp_path) -> None:
    cache = NetCache(tmp_path, limit=2)
    for number in range(4):
        cache.add(str(number), net(number))
        for file in tmp_path.iterdir():
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**9))  # each one older than the next
    assert [cache.has(str(number)) for number in range(4)] == [False, False, True, True]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert not NetCache(tmp_path / "file" / "cache").add("one", net(0))


def test_the_usual_folder_is_that_of_caches(monkeypatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("/caches") / name)
    assert usual_folder() == Path("/caches/ulecli/surrogates")
