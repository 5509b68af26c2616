"""Names and folders that can't be entered or followed end only themselves, whatever is asked of them."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, FullSwing, scene

from ulecli.errors import NoSuchPath
from ulecli.protection.config import ProtectConfig
from ulecli.protection.find import find
from ulecli.protection.outcome import Status
from ulecli.protection.pairs import pair_up
from ulecli.protection.run import protect
from ulecli.system import paths

pytestmark = pytest.mark.usefixtures("config_home")
NOBODY = 65534
_DROP_FROM_BOUNDING_SET, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2
"""Of Linux: an operation of prctl, and two capabilities."""

LINKS = {
    "too long": ("z" * 300, "File name too long"),
    "a circle": ("old.jpg", "Too many levels"),
    "nothing": ("gone", "does not exist"),
    "below a file": ("good.png/x", "does not exist"),
}


@pytest.fixture
def library(tmp_path) -> Path:
    (tmp_path / "lib").mkdir()
    scene(16, 16).save(tmp_path / "lib" / "good.png")
    return tmp_path / "lib"


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_that_can_not_be_followed(library, tmp_path, kind):
    target, words = LINKS[kind]
    (library / "old.jpg").symlink_to(target)
    (library / "a link without a picture's name").symlink_to(target)
    for dry_run in (True, False):
        report = protect(ProtectConfig((library,), tmp_path / "out", dry_run=dry_run), FullSwing())
        reported = {one.source.name: (one.status, one.reason) for one in report.outcomes}
        assert set(reported) == {"good.png", "old.jpg"}
        assert reported["good.png"][0] is (Status.PLANNED if dry_run else Status.WRITTEN)
        assert reported["old.jpg"][0] is Status.FAILED and words in reported["old.jpg"][1]
    pairs = {pair.original.name: pair for pair in pair_up(library, tmp_path / "out")}
    assert pairs["good.png"].protected == tmp_path / "out" / "good.png"
    assert pairs["old.jpg"].protected is None and words in pairs["old.jpg"].reason
    # Also where it is named by itself, listed, or what a watch has heard of.
    assert words in find([library / "old.jpg"]).others[0].reason
    assert words in find([], [library / "old.jpg"]).others[0].reason
    (found,) = find([library], only={library / "old.jpg", library / "good.png"}).others
    assert words in found.reason


@pytest.mark.parametrize("where", ["in", "out"])
@pytest.mark.parametrize("kind", LINKS)
def test_a_link_in_the_place_of_a_copy_or_folder(library, tmp_path, kind, where):
    (library / "sub").mkdir()
    scene(16, 16, 1).save(library / "sub" / "x.png")
    (tmp_path / "out").mkdir()
    at = tmp_path / "out" / "sub" if where == "out" else library / "album"
    at.symlink_to(LINKS[kind][0])
    report = protect(ProtectConfig((library,), tmp_path / "out"), FullSwing())
    reported = {one.source.relative_to(library).as_posix(): one.status for one in report.outcomes}
    assert reported["good.png"] is Status.WRITTEN
    assert reported["sub/x.png"] is (Status.FAILED if where == "out" else Status.WRITTEN)
    assert pair_up(library, tmp_path / "out")


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_disk_that_fails_at_one_name(library, tmp_path, monkeypatch, code):
    """No disk fails on demand: the calls of the system are made to fail, for this one name."""
    scene(16, 16).save(library / "bad.png")
    (library / "bad.folder").mkdir()

    def failing(real):
        def call(path=".", *rest, **more):
            if not isinstance(path, int) and "bad." in os.fspath(path):
                raise OSError(code, os.strerror(code), os.fspath(path))
            return real(path, *rest, **more)

        return call

    for name in ("stat", "lstat", "open", "scandir", "readlink"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    found = find([library])
    assert [photo.path.name for photo in found.photos] == ["good.png"]
    assert {one.source.name: one.status for one in found.others} == {
        "bad.png": Status.FAILED,
        "bad.folder": Status.FAILED,
    }
    assert all(os.strerror(code) in one.reason for one in found.others)
    assert paths.problem(library / "bad.png") == f"can't be read: {os.strerror(code)}"
    assert not paths.is_gone(library / "bad.png") and paths.is_gone(library / "gone.png")


def test_what_is_named_and_can_not_be_there(library, tmp_path):
    report = protect(ProtectConfig((library, tmp_path / ("z" * 300)), tmp_path / "out"), FullSwing())
    assert {one.status for one in report.outcomes} == {Status.WRITTEN, Status.FAILED}
    with pytest.raises(NoSuchPath):
        find([library, tmp_path / "gone"])
    with pytest.raises(NoSuchPath, match="too long"):
        pair_up(library, tmp_path / ("z" * 300))


def without_privileges() -> None:
    """Take from the program that will be run what lets the superuser into everybody's folders."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "can't give the privilege up")


def unprivileged(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program as one who may not enter what belongs to others."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command = [sys.executable, "-m", "ulecli", *map(str, arguments)]
    drop = without_privileges if os.geteuid() == 0 else None
    return subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=drop)


def give_away(path: Path) -> None:
    """Let a file or folder belong to somebody else, if the tests are run by who may do that."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="privileges are given up as on Linux")
def test_other_peoples_folders(tmp_path):
    """Permissions are those of the system: the program runs as one who may not enter."""
    library, out = tmp_path / "lib", tmp_path / "out"
    for name in ("closed/a.png", "names only/b.png", "elsewhere/c.png", "fine/d.png"):
        path = library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(16, 16).save(path)
        path.chmod(0o644)
    (library / "secret.png").write_bytes((library / "fine" / "d.png").read_bytes())
    (library / "elsewhere").rename(tmp_path / "elsewhere")
    (library / "link.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    for path, bits in (
        (library / "closed", 0),
        (library / "names only", 0o444),
        (tmp_path / "elsewhere", 0),
        (library / "secret.png", 0),
    ):
        path.chmod(bits)
        give_away(path)
    options = [library, "-o", out, "--key-file", tmp_path / "key", "--json"]
    for more, status in ((["--dry-run"], "planned"), ([], "written"), ([], "unchanged")):
        done = unprivileged("protect", *options, *more)
        *photos, summary = [json.loads(line) for line in done.stdout.splitlines()]
        reported = {Path(one["source"]).relative_to(library).as_posix(): one for one in photos}
        assert set(reported) == {"closed", "names only/b.png", "secret.png", "link.png", "fine/d.png"}
        assert reported.pop("fine/d.png")["status"] == status
        assert {one["status"] for one in reported.values()} == {"failed"}
        assert all("Permission denied" in one["reason"] for one in reported.values())
        assert done.returncode == summary["exit_code"] == 3 and "Traceback" not in done.stderr
    done = unprivileged("verify", library, out, "--no-cue", "--json")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    *pairs, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(pairs) == 5 and sum(one["protected"] is not None for one in pairs) == 1
    for path in (library / "closed", library / "names only", tmp_path / "elsewhere"):
        path.chmod(0o700)  # or what clears up after the tests can't enter either


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="privileges are given up as on Linux")
def test_what_is_named_and_can_not_be_read_does_not_stop_the_others(tmp_path):
    secret, closed, fine = tmp_path / "secret.png", tmp_path / "closed", tmp_path / "fine.png"
    closed.mkdir()
    for path in (secret, fine):
        scene(16, 16).save(path)
    for path in (secret, closed):
        path.chmod(0)
        give_away(path)
    out = tmp_path / "out"
    done = unprivileged("protect", secret, closed, fine, "-o", out, "--key-file", tmp_path / "key", "--json")
    *photos, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(one["source"]).name: one["status"] for one in photos} == {
        "secret.png": "failed",
        "closed": "failed",
        "fine.png": "written",
    }
    assert done.returncode == summary["exit_code"] == 3
    done = unprivileged("verify", secret, out / "fine.png", "--no-cue")
    assert done.returncode == 3 and "Permission denied" in done.stderr
    closed.chmod(0o700)
