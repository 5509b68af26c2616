"""What each command can end with: for its help, for the manual page, and for the README."""

from __future__ import annotations

from ulecli.errors import ExitCode

MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed for another reason, which the message says",
    ExitCode.USAGE: "an option or argument can't be right",
    ExitCode.SOME_FAILED: "some photos failed, the others are done",
    ExitCode.NO_SUCH_PATH: "a path that was named does not exist",
    ExitCode.NOTHING_TO_DO: "there is no photo among what was named",
    ExitCode.TARGET: "the output can't be written there",
    ExitCode.DEVICE: "the device that was asked for can't be had",
    ExitCode.MODEL: "a surrogate is missing, damaged or was changed",
    ExitCode.MISSING_EXTRA: "a package is missing; the message says how to install it",
    ExitCode.KEY_FILE: "the key file can't be read or made, or is no key",
    ExitCode.LEDGER: "the ledger is damaged, of a newer version, or in use by another run",
    ExitCode.NO_VERDICT: "no verdict: order or labels of a poison are wrong, or nothing was learned of it",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); what is written is whole",
    ExitCode.TERMINATED: "asked to end (SIGTERM); what is written is whole",
}

_OWN = {
    ("evaluate", ExitCode.MODEL): "a surrogate or a backbone is missing, damaged or was changed",
    ("evaluate", ExitCode.SOME_FAILED): "some trainings of a reproduction failed, the others are done",
}
"""What a code means for one command where that differs."""

_ALWAYS = (ExitCode.OK, ExitCode.FAILED, ExitCode.USAGE, ExitCode.INTERRUPTED)

_MORE = {
    "protect": (
        *(ExitCode.SOME_FAILED, ExitCode.NO_SUCH_PATH, ExitCode.NOTHING_TO_DO, ExitCode.TARGET),
        *(ExitCode.DEVICE, ExitCode.MODEL, ExitCode.MISSING_EXTRA, ExitCode.KEY_FILE, ExitCode.LEDGER),
        ExitCode.TERMINATED,
    ),
    "verify": (
        *(ExitCode.SOME_FAILED, ExitCode.NO_SUCH_PATH, ExitCode.NOTHING_TO_DO, ExitCode.TARGET),
        *(ExitCode.MODEL, ExitCode.MISSING_EXTRA, ExitCode.KEY_FILE),
    ),
    "report": (ExitCode.NO_SUCH_PATH, ExitCode.NOTHING_TO_DO, ExitCode.TARGET, ExitCode.LEDGER),
    "evaluate": (
        *(ExitCode.SOME_FAILED, ExitCode.NO_SUCH_PATH, ExitCode.TARGET, ExitCode.DEVICE, ExitCode.MODEL),
        *(ExitCode.MISSING_EXTRA, ExitCode.NO_VERDICT),
    ),
    "craft": (ExitCode.NO_SUCH_PATH, ExitCode.TARGET, ExitCode.DEVICE, ExitCode.MISSING_EXTRA),
    "surrogate list": (ExitCode.MODEL,),
    "surrogate show": (ExitCode.MODEL,),
    "surrogate verify": (ExitCode.MODEL,),
    "surrogate export": (ExitCode.TARGET, ExitCode.MODEL, ExitCode.MISSING_EXTRA),
    "surrogate train": (ExitCode.NO_SUCH_PATH, ExitCode.TARGET, ExitCode.DEVICE, ExitCode.MISSING_EXTRA),
    "man": (),
}


def exit_codes(command: str) -> dict[ExitCode, str]:
    """Return what a command can end with and what that means, in ascending order.

    Args:
        command: "protect", "surrogate list".
    """
    codes = sorted({*_ALWAYS, *_MORE[command]})
    return {code: _OWN.get((command, code), MEANINGS[code]) for code in codes}


def epilog(command: str) -> str:
    """Return the last paragraph of a command's help; the first character keeps its lines as they are."""
    lines = [f"  {int(code):<4} {words}" for code, words in exit_codes(command).items()]
    return "\n".join(["\b", "Exit codes:", *lines])
