"""Looking at paths that may lead nowhere: a question about what can't be reached is answered, never raised.

`pathlib` raises where a folder may not be entered, a name is too long or a disk fails; whoever walks through
other people's folders meets all of them, and one such name must not end the walk.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def exists(path: Path) -> bool:
    """Return whether a path leads to something; no if that can't be found out."""
    return os.path.exists(path)  # noqa: PTH110 - it does not raise


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; no if that can't be found out."""
    return os.path.isfile(path)  # noqa: PTH113 - it does not raise


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; no if that can't be found out."""
    return os.path.isdir(path)  # noqa: PTH112 - it does not raise


def is_link(path: Path) -> bool:
    """Return whether a path is a symbolic link; no if that can't be found out."""
    return os.path.islink(path)  # noqa: PTH114 - it does not raise


def real(path: Path | str) -> str:
    """Return a path without symbolic links, as far as they can be followed."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return os.path.abspath(path)  # noqa: PTH100 - nothing more can be found out


def is_gone(path: Path) -> bool:
    """Return whether there is surely nothing at a path: a failing disk or a closed folder does not count."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def problem(path: Path) -> str:
    """Say why a path can't be reached, as the rest of a sentence about it; empty if it can."""
    try:
        path.stat()
    except OSError as error:
        if not is_link(path):
            return f"can't be read: {error.strerror}"
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return "is a link to what does not exist"
        return f"is a link that can't be followed: {error.strerror}"
    except ValueError:  # a NUL, which no name holds
        return "can't be read: it is no path"
    return ""
