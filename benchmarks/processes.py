"""A process and all that it has started: who they are, what memory they have, and their end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from pathlib import Path
from typing import Self

AT_HAND = Path("/proc/self/smaps_rollup").exists()
"""The system lists its processes in /proc, as Linux does."""


def tree(pid: int) -> list[int]:
    """Return a process and all below it, parents first."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):  # it may end at any moment
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def kill(pid: int) -> None:
    """Kill a process and all below it at once, as when the power goes, and wait for their end."""
    os.kill(pid, signal.SIGSTOP)  # so that it starts no more
    handles = []
    for one in tree(pid):
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(one))
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    for handle in handles:
        select.select([handle], [], [])
        os.close(handle)


def memory(pid: int) -> int:
    """Return the bytes of memory of a process and all below it; what several share is counted once."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class MemoryWatch(threading.Thread):
    """Looks at the memory of a process and all below it ten times a second, for as long as a block runs.

    Attributes:
        seen: What was done at the moment of each look, by `done`, and the bytes.
        done: Set it to how far the process has come.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[int, int]] = []
        self.done = 0
        self._pid, self._end = pid, threading.Event()

    def run(self) -> None:
        """Look until the end."""
        while not self._end.wait(0.1):
            self.seen.append((self.done, memory(self._pid)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self.join()
