from __future__ import annotations

import os
from pathlib import Path

import pytest

from ulecli.protection.mounts import Mount, mount_of, mounts_around

LIST = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /home/ada/My\040Photos rw shared:7 master:3 - cifs //nas/photos rw
41 40 8:17 / /home/ada/My\040Photos/card\134\303\274 rw - vfat /dev/sdb1 rw
42 22 0:36 / /srv rw - tmpfs tmpfs rw
a line of another kind
"""


@pytest.fixture
def listed(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_bytes(LIST)
    monkeypatch.setattr("ulecli.protection.mounts._LIST", tmp_path / "mountinfo")


def test_the_mounts_above_and_within_a_folder(listed):
    root, share = Mount(22, Path("/"), "ext4"), Mount(40, Path("/home/ada/My Photos"), "cifs")
    card = Mount(41, Path("/home/ada/My Photos/card\\ü"), "vfat")
    assert mounts_around(Path("/home/ada")) == (root, share, card)
    assert mounts_around(share.point / "2024") == (root, share)
    assert mount_of(Path("/home/ada")) == root and mount_of(share.point / "2024") == share
    assert mount_of(card.point) == card


def test_what_is_a_network_share(listed):
    assert mount_of(Path("/home/ada/My Photos")).is_network
    for kind in ("nfs", "nfs4", "smb3", "fuse.sshfs", "9p"):
        assert Mount(1, Path("/"), kind).is_network
    for kind in ("ext4", "btrfs", "tmpfs", "fuseblk", "vfat", "overlay", "fuse.ntfs"):
        assert not Mount(1, Path("/"), kind).is_network


def test_where_nothing_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.protection.mounts._LIST", tmp_path / "gone")
    assert mounts_around(tmp_path) == () and mount_of(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="only Linux lists its mounts so")
def test_the_list_of_this_machine():
    assert mount_of(Path("/")).point == Path("/")
    proc = mount_of(Path("/proc"))
    assert os.path.ismount(proc.point)
