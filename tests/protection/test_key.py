"""The key file: made once, by whoever comes first, and never half."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from ulecli.errors import KeyFileError
from ulecli.protection.key import load_key, load_or_create_key

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and limits are POSIX")


@posix
def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    old = os.umask(0)
    try:
        key = load_or_create_key(tmp_path / "deep" / "key")
    finally:
        os.umask(old)
    assert key.created and len(key.secret) == 32 and not key.exposed
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    again = load_or_create_key(key.path)
    assert again.secret == key.secret and not again.created and not again.exposed
    key.path.chmod(0o644)
    assert load_or_create_key(key.path).exposed


def test_the_secret_is_not_shown(tmp_path):
    key = load_or_create_key(tmp_path / "key")
    assert key.secret.hex() not in repr(key) and repr(key.secret) not in repr(key)


@pytest.mark.parametrize("content", [b"zz", b"00" * 31, b"00" * 33, b"\xff" * 64, b"00" * 500])
def test_a_damaged_key_is_refused_and_kept(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyFileError, match="is not a key"):
        load_or_create_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == content


def test_no_key(tmp_path):
    assert load_key(tmp_path / "key") is None
    assert list(tmp_path.iterdir()) == []


def test_the_key_can_not_be_made_or_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="read"):
        load_or_create_key(tmp_path / "file" / "key")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(KeyFileError, match="made"):
        load_or_create_key(tmp_path / "link")
    with pytest.raises(KeyFileError, match="read"):
        load_or_create_key(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", bytes(65)])
def test_an_empty_key_file_is_replaced(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o644)
    assert load_key(path) is None and path.read_bytes() == content
    key = load_or_create_key(path)
    assert key.created and key.replaced_empty and not key.exposed
    again = load_or_create_key(path)
    assert again.secret == key.secret and not again.created and not again.replaced_empty
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_an_empty_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key").touch()
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere" / "key")
    key = load_or_create_key(tmp_path / "key")
    assert (tmp_path / "key").is_symlink() and load_key(tmp_path / "elsewhere" / "key").secret == key.secret


@posix
def test_a_device_is_no_key():
    with pytest.raises(KeyFileError, match="is not a key"):
        load_or_create_key(Path("/dev/null"))


RACER = """
import errno, os, sys, time
from pathlib import Path
from ulecli.protection.key import load_or_create_key
if sys.argv[2] == "no links":
    def link(*names, **options):
        raise OSError(errno.EPERM, "Operation not permitted")
    os.link = link
for line in sys.stdin:
    folder, moment = line.split()
    time.sleep(max(0, float(moment) - time.time()))
    key = load_or_create_key(Path(folder) / "key")
    print(key.secret.hex(), int(key.created), flush=True)
"""


@posix
@pytest.mark.parametrize("links", ["links", "no links"])
@pytest.mark.parametrize("empty", [False, True])
def test_of_first_runs_at_the_same_time_all_use_one_key(tmp_path, links, empty):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RACER, "", links]
    racers = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(4)
    ]
    try:
        for number in range(25):
            folder = tmp_path / str(number)
            folder.mkdir()
            if empty:
                (folder / "key").touch()
            moment = time.time() + 0.02
            for racer in racers:
                racer.stdin.write(f"{folder} {moment}\n")
            lines = [racer.stdout.readline().split() for racer in racers]
            assert len({secret for secret, _ in lines}) == 1, lines
            assert sum(int(created) for _, created in lines) == 1, lines
            assert (folder / "key").read_text() == lines[0][0] + "\n"
            assert list(folder.iterdir()) == [folder / "key"]
    finally:
        for racer in racers:
            racer.communicate()
    assert [racer.returncode for racer in racers] == [0] * 4


@posix
@pytest.mark.parametrize("left", [None, b""])
def test_a_full_disk_leaves_no_part_of_a_key(tmp_path, left):
    """A limit on the size of files stands for the full disk: the same step fails."""
    path = tmp_path / "key"
    if left is not None:
        path.write_bytes(left)
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from ulecli.protection.key import load_or_create_key\nfrom ulecli.errors import KeyFileError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n    load_or_create_key(Path(sys.argv[1]))\n"
        "except KeyFileError as error:\n    sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "can't be made: File too large" in done.stderr
    assert "--key-file" in done.stderr and "Traceback" not in done.stderr
    assert [(one, one.read_bytes()) for one in tmp_path.iterdir()] == ([] if left is None else [(path, left)])
    assert load_or_create_key(path).created  # once there is room


@posix
def test_a_refused_link_that_has_another_reason_is_an_error(tmp_path, monkeypatch):
    def link(*names):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(KeyFileError, match="Input/output error"):
        load_or_create_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
