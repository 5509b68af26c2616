from __future__ import annotations

import os
from pathlib import Path

import pytest

from ulecli.system.file_cache import FileCache


def aged(folder: Path) -> None:
    """Make every file of a folder ten seconds older."""
    for file in folder.iterdir():
        os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**10))


def test_what_is_added_is_found_by_what_decides_it(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "deep" / "cache", ".bytes")
    assert cache.find("one") is None and not (tmp_path / "deep").exists()
    assert cache.add("one", b"1") and cache.add("two", b"")
    again = FileCache(tmp_path / "deep" / "cache", ".bytes")
    assert (again.find("one"), again.find("two"), again.find("three")) == (b"1", b"", None)


@pytest.mark.skipif(os.name != "posix", reason="permissions are another matter there")
def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    FileCache(tmp_path / "cache", ".bytes").add("one", b"1")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.parent.stat().st_mode & 0o777 == 0o700 and file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"10", b"1 of another work"])
def test_what_is_damaged_is_not_there_and_can_be_added_again(content: bytes, tmp_path: Path) -> None:
    cache = FileCache(tmp_path, ".bytes")
    cache.add("one", b"1")
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert cache.find("one") is None
    assert cache.add("one", b"1") and cache.find("one") == b"1"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_another_process_removes_meanwhile_hinders_nothing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, ".bytes", files=2)
    (tmp_path / "gone.bytes").symlink_to(tmp_path / "nowhere")  # listed, and then not there
    assert cache.add("one", b"1") and cache.find("one") == b"1"


def test_the_oldest_make_room_by_number(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, ".bytes", files=2)
    for number in range(4):
        cache.add(str(number), bytes([number]))
        aged(tmp_path)
    assert [cache.find(str(number)) for number in range(4)] == [None, None, b"\2", b"\3"]


def test_the_oldest_make_room_by_size_and_what_was_used_is_not_old(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, ".bytes", size=100)
    for name in ("a", "b"):
        cache.add(name, name.encode() * 50)
        aged(tmp_path)
    assert cache.find("a") is not None  # which makes it younger than b
    cache.add("c", b"c" * 50)
    assert [cache.find(name) is not None for name in "abc"] == [True, False, True]
    assert not cache.add("d", b"d" * 101)
    assert cache.find("a") is not None and cache.find("d") is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = FileCache(tmp_path / "file" / "cache", ".bytes")
    assert not cache.add("one", b"1") and cache.find("one") is None


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    cache = FileCache(tmp_path, ".bytes", files=1)
    cache.add("one", b"1")
    cache.add("two", b"2")
    assert (tmp_path / "notes.txt").read_text() == "mine"
