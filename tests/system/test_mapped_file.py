from __future__ import annotations

import mmap

import pytest

from ulecli.system.mapped_file import mapped


def test_a_file_is_mapped_wherever_it_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        file.seek(7)
        with mapped(file) as content:
            assert content[2:5] == b"234" and content.find(b"9") == 9 and len(content) == 10
        assert file.read() == b"789"


def test_it_is_read_where_the_disk_can_not_map(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        file.seek(7)
        with mapped(file) as content:
            assert content == b"0123456789"
        assert file.read() == b"789"


def test_an_empty_file_has_nothing_to_lend(tmp_path):
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError), mapped(file):
        pass
