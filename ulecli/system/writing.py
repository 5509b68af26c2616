"""Failures to write, as the user reads them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ulecli.errors import TargetError, shown

NAME_ANOTHER = "make room, allow it or name another --out"
"""What to do where `evaluate` can't write."""

NO_ROOM = "make room, allow it or name another place"
"""What to do where it is not known by which option the place was named."""


def unwritable(path: Path, error: OSError, advice: str = NAME_ANOTHER) -> TargetError:
    """Return the error that names what can't be written, and why.

    Args:
        path: What is written, or its folder.
        error: What the system or numpy says.
        advice: What to do.
    """
    # numpy reports a part that was written without the error of the system, which is that of a full disk.
    reason = error.strerror or "the disk took only a part"
    return TargetError(f"can't write to {shown(path)}: {reason}; {advice}")


@contextmanager
def writing_to(path: Path, advice: str = NAME_ANOTHER) -> Iterator[None]:
    """Turn an error of the system, while files are written, into one that names the path.

    Args:
        path: What is written, or its folder.
        advice: What to do.

    Raises:
        TargetError: Something couldn't be written.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, advice) from error


def check_room(folder: Path, needed: int, advice: str = NAME_ANOTHER) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: It need not exist.
        needed: In bytes.
        advice: What to do.

    Raises:
        TargetError: There is less room than that.
    """
    there = next((one for one in (folder, *folder.resolve().parents) if one.is_dir()), None)
    if there is None:
        return
    with writing_to(folder, advice):
        free = shutil.disk_usage(there).free
    if free < needed:
        raise TargetError(
            f"{shown(folder)} is to take {needed / 2**20:,.1f} MiB, and its disk has {free / 2**20:,.1f} MiB "
            f"free: {advice}"
        )
