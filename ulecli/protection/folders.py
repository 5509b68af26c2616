"""Making the folders of an output, each as private as the one that it mirrors.

A photo that anybody may read is safe in a folder that only its owner may enter. Its protected copy must be
too, from the moment that the folder is there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import file_named, mirror, root_of
from ulecli.protection.outcome import Photo
from ulecli.system import paths


class MirroredFolders:
    """Makes folders with the mode and group of those that they mirror. Threads may share it.

    Where several folders are mirrored to one it gets what all of them grant. Its owner may always write.
    """

    def __init__(self, photos: Sequence[Photo], config: ProtectConfig) -> None:
        """Look at the folders of the photos; one that can't be looked at decides nothing."""
        self._lock = threading.Lock()
        self._granted: dict[Path, tuple[int, int]] = {}
        for folder, mirrored in dict.fromkeys(_pairs(photos, config)):
            with contextlib.suppress(OSError):
                found = mirrored.stat()
                mode, group = stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IRWXU, found.st_gid
                others = self._granted.get(folder)
                if others:
                    mode, group = mode & others[0], group if group == others[1] else -1
                self._granted[folder] = mode, group

    def make(self, folder: Path) -> None:
        """Make a folder and those above it; what exists stays as it is.

        Raises:
            OSError: It can't be made.
        """
        with self._lock:
            missing = []
            while not paths.exists(folder):
                missing.append(folder)
                folder = folder.parent
            for one in reversed(missing):
                self._make(one)

    def _make(self, folder: Path) -> None:
        if folder not in self._granted:
            folder.mkdir(exist_ok=True)
            return
        mode, group = self._granted[folder]
        folder.mkdir(mode=mode & ~0o070)  # closed to the group until the group is the right one
        if os.name == "posix":
            _dress(folder, mode, group)


def _dress(folder: Path, mode: int, group: int) -> None:
    """Give a new folder its group and mode, or less where the group can't be had; some disks know neither."""
    with contextlib.suppress(OSError):
        if folder.stat().st_gid != group:
            try:
                os.chown(folder, -1, group)
            except (OSError, OverflowError):
                mode &= ~0o070 | (mode & 0o007) << 3  # another group gets what everybody gets
    with contextlib.suppress(OSError):
        kept = stat.S_IMODE(folder.stat().st_mode) & stat.S_ISGID
        folder.chmod(mode | kept)


def _pairs(photos: Sequence[Photo], config: ProtectConfig) -> Iterator[tuple[Path, Path]]:
    """Yield every folder of the output and the backup with each folder that it mirrors."""
    several = len(config.sources) > 1
    ends: dict[tuple[Path, Path], tuple[Path, Path]] = {}
    for photo in photos:
        if config.in_place and config.backup:
            ends[mirror(photo, config.backup, several).parent, photo.path.parent] = (
                config.backup,
                photo.source,
            )
        elif not config.in_place:
            path = file_named(config) or mirror(photo, config.output, several)
            ends[path.parent, photo.path.parent] = root_of(photo, config), photo.source
    for (folder, mirrored), (root, source) in ends.items():
        yield from _upwards(folder, mirrored, root, source)


def _upwards(folder: Path, mirrored: Path, root: Path, source: Path) -> Iterable[tuple[Path, Path]]:
    while True:
        yield folder, mirrored
        if folder == root or mirrored == source or folder == folder.parent:
            return
        folder, mirrored = folder.parent, mirrored.parent
