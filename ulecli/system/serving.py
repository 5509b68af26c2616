"""The inside of a process of `ulecli.system.isolated`: requests are answered until there are no more.

The work is named by an entry, "package.module:function". The function is called once in the new process and
returns what answers each request; while it works it may ask the process that has started it questions.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Callable

from ulecli.errors import PhotoSkipped, UleError
from ulecli.system.limits import Limits
from ulecli.system.plain_data import Message, receive, restored, send
from ulecli.system.sandbox import confine

Ask = Callable[[Message], Message]
"""Sends a question to the other process and returns its answer."""

Handler = Callable[[Message, Ask], Message]
"""Answers a request; what it raises is reported to who has sent it, and the process goes on."""

STARTED, QUESTION, ANSWER, SKIPPED, FAILED = "started", "question", "answer", "skipped", "failed"
"""Kinds of messages to the process that has started this one."""


def serve() -> None:
    """Be a worker: take requests from stdin and answer on stdout until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def respond(kind: str, content: Message) -> None:
        send(answers, {"kind": kind, "content": content})

    def ask(question: Message) -> Message:
        respond(QUESTION, question)
        return receive(requests)

    with contextlib.suppress(EOFError, BrokenPipeError):  # the main process is gone, or has no more requests
        start = receive(requests)
        in_force = confine(restored(Limits, start["limits"]))  # before a library starts threads
        module, _, function = start["entry"].partition(":")
        handler: Handler = getattr(importlib.import_module(module), function)()
        respond(STARTED, {"in_force": list(in_force)})
        while True:
            request = receive(requests)
            try:
                kind, content = ANSWER, handler(request, ask)
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:
                kind, content = _fault(error)
            respond(kind, content)


def _fault(error: Exception) -> tuple[str, Message]:
    if isinstance(error, PhotoSkipped):
        return SKIPPED, {"reason": str(error)}
    return FAILED, {"reason": reason_of(error)}


def reason_of(error: Exception) -> str:
    """Say in words for the user why the work on a file failed."""
    if isinstance(error, UleError):
        return str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than there is; try --jobs 1"
    if isinstance(error, OSError):
        return f"can't be read or written: {error.strerror or error}"
    # A fault of ours: the other photos shall not suffer from it.
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
