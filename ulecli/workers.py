"""Workers: processes of their own that decode, change and encode photos.

A decoder works on files of unknown origin. One that crashes, is killed for its hunger for memory, or never
returns takes its process with it and nothing else: the photo fails, a fresh worker goes on. Threads could not
promise that, since a hanging thread can't be stopped and a crash in one ends all. What makes the
perturbations stays in the main process, where one GPU serves all workers; between the two goes the small
working image.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from ulecli.errors import PhotoError, PhotoSkipped

if TYPE_CHECKING:
    from ulecli.work import Job, Made, Perturb

_START = "import sys; sys.path[:] = {!r}; from ulecli.workers import serve; serve()"


class Worker:
    """One process, started when it is first needed and again after it has died. For one thread at a time."""

    def __init__(self, timeout: float = 0) -> None:
        """Make a worker that gives each photo so many seconds; 0 for any."""
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._late = False

    @property
    def pid(self) -> int | None:
        """The process's number; None while there is none."""
        return self._process.pid if self._process else None

    def make(self, job: Job, perturb: Perturb) -> Made:
        """Have one photo protected; see `ulecli.work.make`.

        Args:
            job: What to do.
            perturb: Called in this process.

        Raises:
            PhotoError: It can't be protected; or the worker died of it, or took too long.
            PhotoSkipped: It is left alone on purpose.
        """
        process = self._process or self._start()
        watch = threading.Timer(self._timeout, self._too_late, [process])
        watch.daemon = True
        if self._timeout:
            watch.start()
        try:
            return self._converse(process, job, perturb)
        except (EOFError, BrokenPipeError, ConnectionError, pickle.UnpicklingError):
            raise PhotoError(self._cause()) from None
        except (PhotoError, PhotoSkipped):
            raise
        except BaseException:  # the perturber's own: the worker still waits for an answer
            self.kill()
            raise
        finally:
            watch.cancel()
            if self._timeout:
                watch.join()  # it may be at its last line
            if self._late:  # perhaps only just: then what was killed must not get the next photo
                self.kill()

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
        self._late = False
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

    def _converse(self, process: subprocess.Popen[bytes], job: Job, perturb: Perturb) -> Made:
        assert process.stdin and process.stdout
        _send(process.stdin, job)
        while True:
            kind, *content = pickle.load(process.stdout)
            if kind == "delta":
                _send(process.stdin, perturb(*content))
            elif kind == "made":
                made: Made = content[0]
                return made
            else:
                raise (PhotoSkipped if kind == "skipped" else PhotoError)(content[0])

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


def _send(pipe: Any, what: object) -> None:
    pickle.dump(what, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


def serve() -> None:
    """Be a worker: take jobs from stdin and answer on stdout until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    asks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from ulecli.formats.memory import Memory
    from ulecli.work import make

    memory = Memory()

    def perturb(*question: Any) -> Any:
        _send(answers, ("delta", *question))
        return pickle.load(asks)

    while True:
        try:
            job = pickle.load(asks)
        except EOFError:
            return
        try:
            answer: tuple[str, object] = ("made", make(job, perturb, memory))
        except EOFError:  # the main process is gone
            return
        except Exception as error:
            answer = _fault(error)
        _send(answers, answer)


def _fault(error: Exception) -> tuple[str, str]:
    if isinstance(error, PhotoSkipped):
        return "skipped", str(error)
    if isinstance(error, PhotoError):
        return "failed", str(error)
    if isinstance(error, MemoryError):
        return "failed", "needs more memory than there is; try --jobs 1"
    if isinstance(error, OSError):
        return "failed", f"can't be read or written: {error.strerror or error}"
    # A fault of ours: the other photos shall not suffer from it.
    return "failed", f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
