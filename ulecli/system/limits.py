"""What a process that works on files of unknown origin may do, and for how long. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_TIMEOUT = 300.0
"""Seconds for one photo, or for a pair of them."""


@dataclass(frozen=True)
class Limits:
    """What a process may do, where the system can hold it to that.

    Attributes:
        memory: Bytes of memory that it may write to, and never more than the machine has; 0 for any. The
            default is more than the largest picture needs.
        writable: Folders below which it may make, write and remove files, where they exist.
        confined: Bind it to `writable`, and refuse it sockets, programs and other processes.
    """

    memory: int = 16 << 30
    writable: tuple[Path, ...] = ()
    confined: bool = True
