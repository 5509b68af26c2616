"""Ray: a cluster that is there, or one that is started here, and the machines of it.

Import it only where Ray is asked for: it is an extra.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ulecli.errors import UleError
from ulecli.system.versions import versions

RETRIES = 3
"""How often work is begun again that was lost with its process or machine."""

_REACHED = 5.0
"""Seconds within which the head of a cluster takes a connection."""

_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client of HTTP/2, and so of Ray, begins with; a server answers with a frame of the same kind 4."""

_ANSWERED = 120.0
"""Seconds within which every machine has started Python and said what is installed there."""


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        identity: Ray's own for it.
        address: Where it is.
        cpus: Cores that it lends.
        gpus: GPUs that it lends.
        memory: Bytes that it lends.
    """

    identity: str
    address: str
    cpus: int
    gpus: int
    memory: int


@contextmanager
def ray_cluster(
    address: str, *, cpus: int, packages: Sequence[str], gpus: int = 0
) -> Iterator[tuple[Node, ...]]:
    """Connect to a cluster, or start one here that ends with the block.

    Args:
        address: HOST:PORT of its head, or "auto" for the one that runs here; "" to start one.
        cpus: Cores that one which is started lends.
        packages: What has to be of the same version on all machines, beside ulecli and Python.
        gpus: GPUs that one which is started lends.

    Yields:
        The machines that lend cores, at least one.

    Raises:
        UleError: There is no such cluster, or another version of something is on it; or Ray is in use.
    """
    if ray.is_initialized():
        raise UleError("this process uses Ray already: call ray.shutdown() before")
    before = signal.getsignal(signal.SIGTERM)
    try:
        _connect(address, cpus, gpus)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it for itself
        nodes = _nodes()
        if address:
            _check_versions(nodes, packages)
        yield nodes
    finally:
        ray.shutdown()


def result_of(done: Any, what: str) -> Any:
    """Return what a task gave.

    Args:
        done: Ray's reference to it.
        what: The task, in words.

    Raises:
        UleError: It was lost too often.
        Exception: What the task itself raised.
    """
    try:
        return ray.get(done)
    except RayTaskError as error:
        raise error.cause from None  # without Ray's own lines around it
    except RayError as error:
        raise UleError(
            f"{what} was lost {RETRIES + 1} times with its process or machine ({_first_line(error)}); what is"
            " done is kept: look whether the machines have memory enough"
        ) from error


def _connect(address: str, cpus: int, gpus: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not address:
        try:
            ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **quiet)
        except Exception as error:
            raise UleError(f"Ray can't be started here ({_first_line(error)})") from error
        return
    try:
        if address != "auto":
            _greet(address)
        ray.init(address, **quiet)
    except Exception as error:  # of a dozen kinds, from three layers of Ray
        raise UleError(
            f"no Ray cluster of this Ray and Python at --ray-address {address} ({_first_line(error)}): start "
            "one with `ray start --head`, or leave the option out to start one here"
        ) from error


def _greet(address: str) -> None:
    """See whether somebody answers as the head of a cluster does; Ray itself would try for minutes.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED) as there:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        there.sendall(_GREETING)
        if there.makefile("rb").read(9)[3:4] != b"\4":
            raise ConnectionError("what answers there is something else")


def _nodes() -> tuple[Node, ...]:
    """Return the machines that lend cores.

    Raises:
        UleError: There is none.
    """
    found = []
    for node in ray.nodes():
        lends: Mapping[str, float] = node["Resources"]
        if node["Alive"] and (cpus := int(lends.get("CPU", 0))):
            sizes = cpus, int(lends.get("GPU", 0)), int(lends.get("memory", 0))
            found.append(Node(node["NodeID"], node["NodeManagerAddress"], *sizes))
    if not found:
        raise UleError("no machine of this Ray cluster lends a CPU; add one with `ray start --address`")
    return tuple(found)


def _check_versions(nodes: Sequence[Node], packages: Sequence[str]) -> None:
    """Refuse a cluster on which other things would come out than here.

    Raises:
        UleError: A machine lacks ulecli, has another version of something, or does not answer.
    """
    own = versions(packages)
    asked = {
        node: ray.remote(versions)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.identity, soft=False))
        .remote(packages)
        for node in nodes
    }
    for node, answer in asked.items():
        try:
            there = ray.get(answer, timeout=_ANSWERED)
        except RayError as error:
            raise UleError(
                f"the machine {node.address} of the Ray cluster can't run ulecli {own['ulecli']} "
                f"({_first_line(error)}): install it there as it is here"
            ) from error
        for name in sorted({*own, *there}):
            if own.get(name) != there.get(name):
                raise UleError(
                    f"the machine {node.address} of the Ray cluster has {name} {there.get(name, 'not')}, and "
                    f"this one {own.get(name, 'not')}: install the same on all"
                )


def _first_line(error: BaseException) -> str:
    """Return the line of an error that says the most: Ray's are followed, or led, by tracebacks."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
