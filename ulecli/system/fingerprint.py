"""What shows whether a file is still the one that it was."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """What identifies a file's content.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the last modification.
        ctime_ns: Time of the last change of anything; 0 where it does not matter.
        sha256: Of the content.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: bytes

    def fresh(self, stat: os.stat_result) -> bool:
        """Return whether a file has surely not been touched since, without reading it."""
        same = self.size == stat.st_size and self.mtime_ns == stat.st_mtime_ns
        return same and self.ctime_ns in (0, stat.st_ctime_ns)


def fingerprint_of(path: Path, *, with_ctime: bool = False, sha256: bytes | None = None) -> Fingerprint:
    """Take the fingerprint of a file; it is read only if its hash is not given.

    Raises:
        OSError: It can't be read.
    """
    stat = path.stat()
    ctime = stat.st_ctime_ns if with_ctime else 0
    return Fingerprint(stat.st_size, stat.st_mtime_ns, ctime, sha256 or file_sha256(path))


def is_unchanged(path: Path, before: Fingerprint) -> bool:
    """Return whether a file holds what it held; it is read only if it has been touched.

    Raises:
        OSError: It can't be read.
    """
    stat = path.stat()
    if before.fresh(stat):
        return True
    return stat.st_size == before.size and file_sha256(path) == before.sha256


def file_sha256(path: Path) -> bytes:
    """Hash a file, a piece at a time.

    Raises:
        OSError: It can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()
