"""Writing a file so that its name holds the old content or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4


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
    part = target.with_name(f".ulecli-{uuid4().hex}.part")
    try:
        yield part
        _sync(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, as well as the system can; some network disks refuse.

    A name that is lost with the power points to the old file or to none, never to a part of one.
    """
    with contextlib.suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    if os.name != "posix":  # elsewhere a descriptor opened for reading can't be synced
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
