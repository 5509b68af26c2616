"""Writing a file so that its name holds the old content or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

_PART_PREFIX, _PART_SUFFIX = ".ulecli-", ".part"


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Lend a path beside `target` to write to; on success it becomes `target`, on any failure it is removed.

    Missing folders are made. The content is on the disk before the name points to it. The name itself is
    there after `sync_folder(target.parent)`, of which one call does for all the files of a folder.

    Args:
        target: The file to make or replace. If it is a symlink, the link itself is replaced.

    Yields:
        A path that does not exist yet, in the same folder (a rename does not cross file systems).

    Raises:
        OSError: The file can't be written there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    try:
        yield part
        sync(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def part_of(target: Path) -> Path:
    """Return a name beside `target`, hidden and never used before, for what shall become it."""
    return target.with_name(f"{_PART_PREFIX}{uuid4().hex}{_PART_SUFFIX}")


def remove_parts(folder: Path) -> None:
    """Remove what killed runs have left in a folder; no other run may be at work there."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(_PART_PREFIX) and entry.name.endswith(_PART_SUFFIX):
                Path(entry.path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, as well as the system can; some network disks refuse.

    A name that is lost with the power points to the old file or to none, never to a part of one.
    """
    with contextlib.suppress(OSError):
        sync(folder)


def sync(path: Path) -> None:
    """Force a file's content to the disk.

    Raises:
        OSError: The disk did not take it.
    """
    if os.name != "posix":  # elsewhere a descriptor opened for reading can't be synced
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
