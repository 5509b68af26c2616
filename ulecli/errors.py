"""Errors that a user can act on, and the exit codes they end with.

    UleError                    exit 1   anything below, or a failure with no better name
    ├── UsageError              exit 2   an option or argument that can't be right
    ├── NoSuchPath              exit 4   a path that was named does not exist
    ├── NothingToDo             exit 5   no photo among what was named
    ├── TargetError             exit 6   the output can't be written there
    ├── DeviceUnavailable       exit 7   the device that was asked for can't be had
    ├── ModelError              exit 8   a surrogate or backbone is missing, damaged or tampered with
    ├── MissingExtra            exit 9   the command needs a package that is not installed
    ├── KeyFileError            exit 10  the user's key can't be read, made or trusted
    ├── LedgerError             exit 11  the ledger is damaged, of a newer ulecli, or in use by another run
    ├── NoVerdict              exit 12  an evaluation whose figures say nothing of a protection
    ├── SomeFailed              exit 3   a part of what was asked for failed; the rest is done
    ├── PhotoError              (3)      one photo failed; the run goes on and ends with 3
    └── PhotoSkipped            (0)      one photo is left alone on purpose

Codes are stable: scripts may rely on them. 0 is success, 3 means that some photos or trainings failed and the
others are done, 130 that the user interrupted the run (Ctrl-C), 143 that it was asked to end (SIGTERM).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from os import PathLike, fspath


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SOME_FAILED = 3
    NO_SUCH_PATH = 4
    NOTHING_TO_DO = 5
    TARGET = 6
    DEVICE = 7
    MODEL = 8
    MISSING_EXTRA = 9
    KEY_FILE = 10
    LEDGER = 11
    NO_VERDICT = 12
    INTERRUPTED = 130
    TERMINATED = 143


def shown(path: PathLike[str] | str) -> str:
    """Write a path so that a terminal and a one-line message survive it: what can't be printed is escaped."""
    name = fspath(path)
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


class UleError(Exception):
    """A failure that the user reads in one line: what is wrong and what to do."""

    exit_code = ExitCode.FAILED


class UsageError(UleError, ValueError):
    """An option or argument that can't be right, found before any work begins."""

    exit_code = ExitCode.USAGE


def unknown(what: str, name: str, known: Iterable[str], listed: str = "") -> UsageError:
    """Return the error for a name that is none: it lists those there are and the nearest of them.

    Args:
        what: What the name should be of: "defender".
        name: As it was typed.
        known: All names that would do.
        listed: What is listed instead of all of them.
    """
    names = list(known)
    return UsageError(
        f"there is no {what} '{shown(name)}', only {listed or ', '.join(names)}{nearest(name, names)}"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the known name that is most like this one, "" if none is."""
    from difflib import get_close_matches  # only who mistypes waits for it

    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {shown(near[0])}?" if near else ""


def install_extra(extra: str) -> str:
    """Return how an optional part of ulecli is installed.

    Args:
        extra: Its name in pyproject.toml: "heif".
    """
    return f"pip install '.[{extra}]' in the folder of ulecli's source"


class NoSuchPath(UleError):
    """A path that the user named does not exist."""

    exit_code = ExitCode.NO_SUCH_PATH


class NothingToDo(UleError):
    """The named paths hold no photo."""

    exit_code = ExitCode.NOTHING_TO_DO


class TargetError(UleError):
    """The output location can't be used: read-only, inside the input, or in the way of a source."""

    exit_code = ExitCode.TARGET


class DeviceUnavailable(UleError):
    """The device that was asked for can't be had; there is no silent fallback."""

    exit_code = ExitCode.DEVICE


class ModelError(UleError):
    """A surrogate's files are missing, damaged or not what the card says, or a backbone's file is no net."""

    exit_code = ExitCode.MODEL


class MissingExtra(UleError):
    """The command needs an optional package; the message says how it is installed."""

    exit_code = ExitCode.MISSING_EXTRA


class KeyFileError(UleError):
    """The user's key can't be read or made, or is not a key."""

    exit_code = ExitCode.KEY_FILE


class LedgerError(UleError):
    """The ledger of earlier runs can't be used: damaged, of a newer version, or in use by another run."""

    exit_code = ExitCode.LEDGER


class NoVerdict(UleError):
    """What was measured can't be judged: order or labels of a poison are wrong, or nothing was learned."""

    exit_code = ExitCode.NO_VERDICT


class SomeFailed(UleError):
    """A part of what was asked for failed, and the rest is done."""

    exit_code = ExitCode.SOME_FAILED


class PhotoError(UleError):
    """One photo can't be read, protected or written; the run goes on without it."""

    exit_code = ExitCode.SOME_FAILED


class PhotoSkipped(UleError):
    """One photo is deliberately left alone; not a failure."""

    exit_code = ExitCode.OK
