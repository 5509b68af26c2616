"""Processes of their own for work on files of unknown origin: one that fails takes one file with it.

A decoder that crashes, is killed for its hunger for memory, or never returns takes its process with it and
nothing else: the file fails, a fresh process goes on. Threads could not promise that, since a hanging thread
can't be stopped and a crash in one ends all. A decoder that a file has taken over is held by the limits of
`ulecli.system.sandbox`, and what it sends is plain data that is checked (`ulecli.system.plain_data`).

Here stands the side that hands the work out; `ulecli.system.serving` is the one that does it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import LifoQueue
from typing import Self, TypeVar

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.system.limits import Limits
from ulecli.system.plain_data import MAX_CONTENT, BadMessage, Message, plain, receive, restored, send
from ulecli.system.serving import ANSWER, FAILED, QUESTION, SKIPPED, STARTED, Ask

_START = "import sys; sys.path[:] = {!r}; from ulecli.system.serving import serve; serve()"
_MAX_REASON = 2000


@dataclass(frozen=True)
class _Started:
    in_force: tuple[str, ...]


@dataclass(frozen=True)
class _Refusal:
    reason: str


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class IsolatedWorker:
    """One process, started when it is first needed and again after it has died. For one thread at a time.

    Attributes:
        in_force: Names of the limits that bind the process; None before it has reported.
    """

    def __init__(self, entry: str, *, limits: Limits | None = None, timeout: float = 0) -> None:
        """Make a worker.

        Args:
            entry: "package.module:function", which makes the handler.
            limits: What the process may do.
            timeout: Seconds that one request may take; 0 for any.
        """
        self.in_force: tuple[str, ...] | None = None
        self._entry, self._limits, self._timeout = entry, limits or Limits(), timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._late = self._greeted = False

    @property
    def pid(self) -> int | None:
        """The process's number; None while there is none."""
        return self._process.pid if self._process else None

    def call(
        self,
        request: Message,
        read: Callable[[Message], _Result],
        on_question: Ask | None = None,
        *,
        max_content: int = MAX_CONTENT,
    ) -> _Result:
        """Have one request answered.

        Args:
            request: For the handler.
            read: Makes a record of the answer; raises `BadMessage` if it holds what no handler sends.
            on_question: Answers the handler's questions, in this process; may raise `BadMessage` too.
            max_content: Bytes of bytes and arrays that a question or answer may hold.

        Returns:
            What `read` has made.

        Raises:
            PhotoError: The handler says so; or it died, took too long, or sent what it must not.
            PhotoSkipped: The handler says so.
        """
        process = self._process or self._start()
        watch = threading.Timer(self._timeout, self._too_late, [process])
        watch.daemon = True
        if self._timeout:
            watch.start()
        try:
            kind, content = self._converse(process, request, on_question, max_content)
            if kind == ANSWER:
                return read(content)
            reason = restored(_Refusal, content).reason[:_MAX_REASON]
        except (EOFError, BrokenPipeError, ConnectionError):
            raise PhotoError(self._cause()) from None
        except BadMessage as error:
            self.kill()
            raise PhotoError(f"the process that worked on it sent what it must not: {error}") from None
        except BaseException:  # of this side: the process still waits for an answer
            self.kill()
            raise
        finally:
            watch.cancel()
            if self._timeout:
                watch.join()  # it may be at its last line
            if self._late:  # perhaps only just: then what was killed must not get the next request
                self.kill()
        raise (PhotoSkipped if kind == SKIPPED else PhotoError)(reason)

    def close(self) -> None:
        """End the process; it has nothing in work."""
        if process := self._process:
            self._process = None
            _hang_up(process)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if process := self._process:
            self._process = None
            process.kill()
            process.wait()
            _hang_up(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # One thread each: there are as many workers as cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._late, self._greeted, self.in_force = False, False, None
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # image libraries talk there
            env=environment,
            # Ctrl-C is for the main process, which lets the photos in work be finished.
            process_group=0 if os.name == "posix" else None,
        )
        return self._process

    def _converse(
        self, process: subprocess.Popen[bytes], request: Message, on_question: Ask | None, max_content: int
    ) -> tuple[str, Message]:
        """Send a request, answer questions, and return the kind and content of the last message."""
        assert process.stdin and process.stdout
        if not self._greeted:
            self._greeted = True
            send(process.stdin, {"entry": self._entry, "limits": plain(self._limits)})
        send(process.stdin, request)
        while True:
            kind, content = _opened(receive(process.stdout, max_content=max_content))
            if kind == STARTED and self.in_force is None:
                self.in_force = restored(_Started, content).in_force
            elif kind == QUESTION and on_question:
                send(process.stdin, on_question(content))
            elif kind in (ANSWER, SKIPPED, FAILED):
                return kind, content
            else:
                raise BadMessage("comes out of turn")

    def _too_late(self, process: subprocess.Popen[bytes]) -> None:
        self._late = True
        process.kill()

    def _cause(self) -> str:
        """Bury a dead process and say what it died of."""
        late, process, self._process = self._late, self._process, None
        if process is None:
            return "was given up"
        process.kill()
        code = process.wait()
        _hang_up(process)
        if late:
            return f"took longer than {self._timeout:g} s and was given up; --timeout allows more"
        if code == -9:
            return "the process that worked on it was killed, perhaps for lack of memory; try --jobs 1"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the process that worked on it died of it ({name})"


def _opened(message: Message) -> tuple[str, Message]:
    kind, content = message.get("kind"), message.get("content")
    if not isinstance(kind, str) or not isinstance(content, dict):
        raise BadMessage("has no kind or no content")
    return kind, content


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


class Pool:
    """Some workers of one kind, which more threads than that may share. Leaving it ends them."""

    def __init__(self, entry: str, jobs: int, *, limits: Limits | None = None, timeout: float = 0) -> None:
        """Make `jobs` workers; see `IsolatedWorker`."""
        self._given_up = False
        self._workers = [IsolatedWorker(entry, limits=limits, timeout=timeout) for _ in range(jobs)]
        self._idle: LifoQueue[IsolatedWorker] = LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def given_up(self) -> bool:
        """An error or an interrupt has ended the pool before its work was done."""
        return self._given_up

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._given_up = kind is not None
        for worker in self._workers if self._given_up else ():
            worker.kill()
        for worker in [self._idle.get() for _ in self._workers]:  # none is in use any more
            worker.close()
            self._idle.put(worker)  # for a thread that comes too late; it will see that all is given up

    @contextlib.contextmanager
    def hired(self) -> Iterator[IsolatedWorker]:
        """Lend a worker, as soon as one is free.

        Raises:
            PhotoError: All is given up.
        """
        worker = self._idle.get()
        try:
            if self._given_up:
                raise PhotoError("was given up")
            yield worker
        finally:
            self._idle.put(worker)

    def map(
        self, work: Callable[[IsolatedWorker, _Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Yield what comes of each item, in their order, while all workers are busy with the next ones.

        Args:
            work: Called in a thread with a worker that is free.
            items: What it is called for.
        """

        def hire(item: _Item) -> _Result:
            with self.hired() as worker:
                return work(worker, item)

        # The workers end first: where all is given up, a thread must not wait for one that hangs.
        with ThreadPoolExecutor(len(self._workers), thread_name_prefix="pool") as threads, self:
            yield from threads.map(hire, items)
