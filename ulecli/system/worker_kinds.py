"""Who does the work of a command: processes of this machine, or Ray."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib import import_module

from ulecli.errors import MissingExtra, UsageError, install_extra, unknown
from ulecli.system.cores import usable_cores


class WorkerKind(StrEnum):
    """Processes of this machine, or Ray on one machine or many."""

    PROCESSES = "processes"
    RAY = "ray"


def need_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import_module("ray")
    except ImportError as error:
        raise MissingExtra(f"--workers ray needs {error.name}: {install_extra('ray')}") from error


def usual_jobs(kind: str) -> int:
    """Return how much work is done at a time where nobody says: 0, for all cores of the cluster, with Ray."""
    return 0 if kind == WorkerKind.RAY else usable_cores()


def check_workers(kind: str, ray_address: str) -> None:
    """Refuse options that can't be right.

    Args:
        kind: One of `WorkerKind`.
        ray_address: HOST:PORT, "auto", or "" for none.

    Raises:
        UsageError: They are something else, or there is an address without Ray.
    """
    if kind not in set(WorkerKind):
        raise unknown("kind of workers", kind, WorkerKind)
    if ray_address and kind != WorkerKind.RAY:
        raise UsageError("--ray-address belongs to --workers ray")
    if ray_address not in ("", "auto") and not re.fullmatch(r".+:\d+", ray_address):
        raise UsageError(f"--ray-address {ray_address}: write HOST:PORT of the head node, or auto")
