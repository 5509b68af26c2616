"""Which file systems are mounted around a folder, as Linux lists them; elsewhere nothing is known."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_LIST = Path("/proc/self/mountinfo")

_NETWORK = re.compile(
    r"nfs\d*|cifs|smb\w*|9p|afs|ceph|coda|lustre|davfs|fuse\.(sshfs|rclone|glusterfs|.*smb.*)"
)
"""Types of file systems on which other machines change files without a word to this one."""


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        number: The system's name for this mount; after a disk was unplugged and came back it is another one.
        point: The folder where it is mounted.
        type: "ext4", "cifs".
    """

    number: int
    point: Path
    type: str

    @property
    def is_network(self) -> bool:
        """Whether the files lie on another machine."""
        return _NETWORK.fullmatch(self.type) is not None


def mounts_around(folder: Path) -> tuple[Mount, ...]:
    """Return the mounts that a real path (without links) lies on and those within it, outermost first."""
    try:
        lines = _LIST.read_bytes().splitlines()
    except OSError:
        return ()
    found = [mount for line in lines if (mount := _mount(line)) is not None]
    return tuple(
        mount
        for mount in sorted(found, key=lambda mount: (len(mount.point.parts), mount.number))
        if folder.is_relative_to(mount.point) or mount.point.is_relative_to(folder)
    )


def mount_of(folder: Path) -> Mount | None:
    """Return the mount that a real path (without links) lies on; None where it is not known."""
    return next((one for one in reversed(mounts_around(folder)) if folder.is_relative_to(one.point)), None)


def _mount(line: bytes) -> Mount | None:
    """Read a line: number, parent, device, root, mount point, options, others, "-", type, source, options."""
    fields = line.split(b" ")
    try:
        kind = fields[fields.index(b"-", 6) + 1]
        point = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), fields[4])
        return Mount(int(fields[0]), Path(os.fsdecode(point)), os.fsdecode(kind))
    except (ValueError, IndexError):
        return None
