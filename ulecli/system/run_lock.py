"""A lock for one run at a time, which nobody who only reads has to ask for.

It is a file of its own beside what it guards, locked by the system: it ends with the process, however that
ends, and a file that was left behind locks nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 1.0
"""Seconds that a run waits for the lock: who looks whether it is held holds it for a moment."""

_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class AlreadyLocked(Exception):
    """Another process, or another run of this one, holds the lock."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: The file to lock; it is made, and removed at the end.

    Raises:
        AlreadyLocked: Somebody else holds it.
        OSError: The file can't be made, or the file system has no locks.
    """
    descriptor = _acquired(path)
    try:
        yield
    finally:
        if os.name == "posix":  # while it is held, so that nobody's newer file is removed
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(descriptor)
        if os.name != "posix":  # there an open file can't be removed, nor can one that another run has open
            with contextlib.suppress(OSError):
                path.unlink()


def is_locked(path: Path) -> bool:
    """Return whether somebody holds a lock, without making or changing any file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # without a file there is no lock
        return False
    try:
        return not _try(descriptor, shared=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _acquired(path: Path) -> int:
    until = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _try(descriptor) and _is_of(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() > until:
            raise AlreadyLocked(path)
        time.sleep(0.02)


def _is_of(descriptor: int, path: Path) -> bool:
    """Return whether a file is still the one of its name: whoever held it before has removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if os.name == "posix":
    import fcntl

    def _try(descriptor: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                return False
            raise
        return True

else:
    import msvcrt

    def _try(descriptor: int, *, shared: bool = False) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError as error:
            if error.errno in _HELD:
                return False
            raise
        return True
