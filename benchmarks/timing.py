"""Whole processes by the clock, on a known number of cores, and the conditions to print beside a figure."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ulecli.system.cores import usable_cores


def seconds(command: Sequence[str], *, cores: int) -> float:
    """Run a command on the first `cores` of the cores that are ours and return its wall-clock time.

    Where the system can't bind a process to cores, it runs on all.

    Raises:
        SystemExit: It failed; its last words are reported.
    """
    with bound(cores):  # what a process starts inherits its cores
        start = time.perf_counter()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        elapsed = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return elapsed


@contextlib.contextmanager
def bound(cores: int) -> Iterator[None]:
    """Bind this process to the first `cores` of the cores that are ours, for as long as the block runs."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(ours)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def conditions(*packages: str) -> str:
    """Name the processor, the system and the versions that a figure depends on, in one line."""
    parts = [
        f"{_processor()}, {usable_cores()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a checkout that is not installed
            parts.append(f"{package} from source")
    return " · ".join(parts)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
