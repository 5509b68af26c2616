from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from conftest import FullSwing, scene

from ulecli.protection.config import ProtectConfig
from ulecli.protection.run import protect

pytestmark = [
    pytest.mark.usefixtures("config_home"),
    pytest.mark.skipif(os.name != "posix", reason="modes are POSIX"),
]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def library(root: Path, modes: dict[str, int]) -> Path:
    for name in modes:
        (root / name).mkdir(parents=True, exist_ok=True)
        scene(8, 8).save(root / name / "x.png")
    for name, bits in reversed(modes.items()):
        (root / name).chmod(bits)
    return root


MODES = {".": 0o750, "diary": 0o700, "diary/deep/er": 0o711, "shared": 0o775, "frozen": 0o555}


@pytest.mark.parametrize("where", ["-o", "sibling", "several", "backup", "list", "file"])
def test_folders_get_the_modes_of_what_they_mirror(tmp_path, umask, monkeypatch, where):
    source = library(tmp_path / "lib", MODES)
    (source / "diary" / "deep").chmod(0o710)
    out, sources, more = tmp_path / "made" / "out", (source,), {}
    root = out
    if where == "sibling":
        out, root = None, tmp_path / "lib-protected"
    elif where == "several":
        sources = (source, library(tmp_path / "other", {".": 0o700}))
        root = out / "lib"
    elif where == "backup":
        more, out = {"in_place": True, "backup": root}, None
    elif where == "list":
        monkeypatch.chdir(source)
        sources, more = (), {"listed": tuple(Path(name, "x.png") for name in MODES)}
    elif where == "file":
        sources, root = (source / "diary" / "x.png",), out
    protect(ProtectConfig(sources, out, **more), FullSwing())
    if where == "file":
        assert mode(root) == 0o700
        return
    expected = {**MODES, "diary/deep": 0o710, "frozen": 0o755}  # its owner may write
    assert {name: mode(root / name) for name in expected} == expected
    if where == "several":
        assert mode(out / "other") == 0o700
    if where in ("-o", "several", "list", "backup"):
        assert mode(tmp_path / "made") == 0o777 & ~umask  # mirrors nothing


def test_what_exists_stays_as_it_is(tmp_path):
    source = library(tmp_path / "lib", {".": 0o700, "a": 0o700})
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a").chmod(0o755)
    (tmp_path / "out").chmod(0o770)
    protect(ProtectConfig((source,), tmp_path / "out"), FullSwing())
    assert (mode(tmp_path / "out"), mode(tmp_path / "out" / "a")) == (0o770, 0o755)


def test_a_private_folder_is_never_open_for_a_moment(tmp_path, monkeypatch):
    source = library(tmp_path / "lib", {".": 0o755, "diary": 0o700})
    seen = []

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.mkdir" and str(arguments[0]).endswith("out/diary"):
            seen.append(arguments[1])

    sys.addaudithook(audit)
    before = os.umask(0)
    try:
        protect(ProtectConfig((source,), tmp_path / "out"), FullSwing())
    finally:
        os.umask(before)
    assert seen == [0o700]


def test_the_group_goes_along(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only the superuser can give folders to any group")
    source = library(tmp_path / "lib", {".": 0o755, "family": 0o750})
    os.chown(source / "family", -1, 12345)
    protect(ProtectConfig((source,), tmp_path / "out"), FullSwing())
    made = (tmp_path / "out" / "family").stat()
    assert (made.st_gid, stat.S_IMODE(made.st_mode)) == (12345, 0o750)


def test_another_group_gets_what_everybody_gets(tmp_path, monkeypatch):
    source = library(tmp_path / "lib", {".": 0o755, "family": 0o770})
    os.chown(source / "family", -1, 12345)

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    protect(ProtectConfig((source,), tmp_path / "out"), FullSwing())
    assert mode(tmp_path / "out" / "family") == 0o700
