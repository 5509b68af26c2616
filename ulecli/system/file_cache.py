"""Files that are kept for later runs because what is in them took long to make.

A file's name holds the digest of what decides its content and that of the content itself, so that a damaged
file is noticed. The files may be deleted at any time. What is kept may be personal data, so only the user can
read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from ulecli.system.atomic import replacing

_DIGITS = 32


class FileCache:
    """Bytes by what decides them, each in a file of one folder, which processes may share."""

    def __init__(
        self, folder: Path, ending: str, *, files: int | None = None, size: int | None = None
    ) -> None:
        """Name the folder; it is made when something is put into it.

        Args:
            folder: The folder.
            ending: Of the names of its files, such as ".safetensors".
            files: How many it may hold; the oldest make room. None for any number.
            size: Bytes that they may take together; None for any.
        """
        self._folder, self._ending, self._files, self._size = folder, ending, files, size

    def find(self, identity: str) -> bytes | None:
        """Return what is kept; None if it is not there or damaged.

        Args:
            identity: All that decides the content, in words.
        """
        for file in sorted(self._folder.glob(f"{_digest(identity.encode())}-*{self._ending}")):
            with contextlib.suppress(OSError):
                content = file.read_bytes()
                if _digest(content) == file.stem.rpartition("-")[2]:
                    os.utime(file)  # what is asked for is not old
                    return content
        return None

    def add(self, identity: str, content: bytes) -> bool:
        """Keep bytes, and return whether that was possible: the limit allows them, the disk took them."""
        if self._size is not None and len(content) > self._size:
            return False
        file = self._folder / f"{_digest(identity.encode())}-{_digest(content)}{self._ending}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(file) as part:
                part.touch(mode=0o600)
                part.write_bytes(content)
            self._make_room()
        except OSError:
            return False
        return True

    def _make_room(self) -> None:
        """Remove the oldest files beyond the limits."""
        kept = taken = 0
        found: dict[Path, os.stat_result] = {}
        for file in self._folder.glob(f"*{self._ending}"):
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                found[file] = file.stat()
        for file, state in sorted(found.items(), key=lambda one: one[1].st_mtime_ns, reverse=True):
            kept, taken = kept + 1, taken + state.st_size
            if (self._files is not None and kept > self._files) or (
                self._size is not None and taken > self._size
            ):
                file.unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
