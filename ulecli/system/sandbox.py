"""Limits that a process sets on itself before it opens files of unknown origin, where the system has them.

On Linux, without any privilege: RLIMIT_DATA bounds its memory; Landlock lets it write below the folders that
it needs and nowhere else, and keeps it from the memory of other processes; a seccomp filter refuses sockets
and the start of programs. Each is set where the kernel has it, and who asked learns which are in force. None
can be lifted again. Threads that run already are not bound, so this comes before anything that starts some.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from ulecli.system.limits import Limits

MEMORY, FILES, CALLS = "memory", "files", "calls"
"""Names of what may be in force."""

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2  # prctl

# Landlock: numbers of its calls, the same on every machine, and bits of access by the version that has them.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE = 1 << 0, 1 << 1, 1 << 5, 1 << 7, 1 << 8
_REMOVE_DIR, _MAKE_OTHERS = 1 << 4, 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
_REFER, _TRUNCATE, _DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
_LATER = {_REFER: 2, _TRUNCATE: 3, _DEVICE_CONTROL: 5}
_USED = _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _MAKE_DIR | _REFER | _TRUNCATE
_HANDLED = _USED | _EXECUTE | _REMOVE_DIR | _MAKE_OTHERS | _DEVICE_CONTROL
_TCP, _TCP_SINCE = 0b11, 4
_SIGNALS_AND_SOCKETS, _SCOPED_SINCE = 0b11, 6

# seccomp: what is refused, and the number of each call by machine; the first is that of the machine itself.
_REFUSED = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "socketpair": 53, "execve": 59, "ptrace": 101, "process_vm_readv": 310}
        | {"process_vm_writev": 311, "bpf": 321, "execveat": 322, "io_uring_setup": 425, "pidfd_getfd": 438},
    ),
    "aarch64": (
        0xC00000B7,
        {"socket": 198, "socketpair": 199, "execve": 221, "ptrace": 117, "process_vm_readv": 270}
        | {"process_vm_writev": 271, "bpf": 280, "execveat": 281, "io_uring_setup": 425, "pidfd_getfd": 438},
    ),
}
_X32 = 0x40000000
"""On x86_64, calls from here on are the same calls by other numbers."""
_ALLOW, _FAIL_WITH, KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM = 1
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4


def confine(limits: Limits) -> tuple[str, ...]:
    """Set limits on this process, for good, and return the names of those that are in force now."""
    if not sys.platform.startswith("linux"):
        return ()
    found = [MEMORY] if limits.memory and _limit_memory(limits.memory) else []
    if limits.confined and _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
        found += [FILES] if _write_only_below(limits.writable) else []
        found += [CALLS] if refuse_calls() else []
    return tuple(found)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _limit_memory(most: int) -> bool:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture is left on the disk by a crash
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = min(most, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    except (OSError, ValueError):
        return False
    return True


def _write_only_below(folders: Iterable[Path]) -> bool:
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    handled = _HANDLED & ~sum(bit for bit, since in _LATER.items() if version < since)
    attributes = struct.pack(
        "=QQQ",
        handled,
        _TCP if version >= _TCP_SINCE else 0,
        _SIGNALS_AND_SOCKETS if version >= _SCOPED_SINCE else 0,
    )
    size = 24 if version >= _SCOPED_SINCE else 16 if version >= _TCP_SINCE else 8
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    try:
        for folder in folders:
            try:
                place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                rule = struct.pack("=Qi", _USED & handled, place)
                if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0):
                    return False
            finally:
                os.close(place)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def refuse_calls(names: Iterable[str] | None = None, *, action: int = _FAIL_WITH | _EPERM) -> bool:
    """Have the kernel refuse calls of this process and of all that it starts.

    The process must not be able to gain privileges any more, or be root's.

    Args:
        names: Of the calls; None for sockets, programs, and whatever reaches into other processes.
        action: What comes of them: an error, or `KILL`.

    Returns:
        Whether it does; not on a machine whose numbers are not known here.
    """
    machine, numbers = _REFUSED.get(platform.machine(), (0, dict[str, int]()))
    refused = [numbers[name] for name in (numbers if names is None else names) if name in numbers]
    if not refused or struct.calcsize("P") != 8:
        return False
    last = len(refused) + 4  # the line that allows; behind it the one that refuses
    lines = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 0, last - 1, machine),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, last - 3, 0, _X32),
        *((_IF_EQUAL, last - 4 - number, 0, call) for number, call in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, action),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    header = struct.pack("@HP", len(lines), ctypes.addressof(program))
    return bool(_libc().prctl(_SET_SECCOMP, _SECCOMP_FILTER, header, 0, 0) == 0)
