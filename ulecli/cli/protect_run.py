"""A run of `ulecli protect`: what it is told, what it tells, and how it is ended from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ulecli.cli.console import OnOutcome, progress, put, say
from ulecli.errors import ExitCode, NoSuchPath, UsageError, shown
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Start, Status


class Stop(threading.Event):
    """Set by the first signal that asks the program to end; the second one gives up what is in work.

    Attributes:
        code: What the process then ends with.
    """

    code: ExitCode | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to Ctrl-C and SIGTERM, where that is possible: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heed) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed(self, number: int, frame: object) -> None:
        self.code = ExitCode.TERMINATED if number == signal.SIGTERM else ExitCode.INTERRUPTED
        if self.is_set():
            raise KeyboardInterrupt
        self.set()


def run(
    config: ProtectConfig, *, threads: int, quiet: bool, json_lines: bool, watching: bool = False
) -> ExitCode:
    """Protect, tell of it, and return what the process ends with.

    A signal ends the run after the photos in work, with the summary. For a watch that is the usual end, so
    its exit code is that of its photos.
    """
    stop = Stop()
    with stop.listening():
        try:
            report = _report(config, stop, threads, quiet=quiet, json_lines=json_lines, watching=watching)
        except KeyboardInterrupt:
            say("ulecli: interrupted; the photos that were done are whole, no part of another is left")
            return stop.code or ExitCode.INTERRUPTED
    code = report.exit_code if watching or stop.code is None else stop.code
    _tell(report, code, quiet=quiet, json_lines=json_lines)
    if stop.code and not watching:
        say("ulecli: interrupted; the next run goes on from here")
    return code


def _report(
    config: ProtectConfig, stop: Stop, threads: int, *, quiet: bool, json_lines: bool, watching: bool
) -> ProtectReport:
    from ulecli.protection.find import check_exist
    from ulecli.surrogates.opening import open_perturber

    check_exist(config.sources)  # a mistyped path is told at once, not after the surrogate has been loaded
    if watching:
        from ulecli.protection.summary import watch_text
        from ulecli.protection.watch import check_watchable, watch

        check_watchable(config)
        perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
        telling = _telling(_line if not quiet else lambda outcome, total: None, json_lines)
        if not quiet:
            say(f"ulecli: {watch_text(config)}")
        return watch(config, perturber, stop, on_outcome=telling)
    from ulecli.protection.run import protect as protect_photos

    perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
    with progress(quiet=quiet) as advance:
        telling = _telling(advance, json_lines)
        return protect_photos(
            config,
            perturber,
            on_start=None if quiet or json_lines else lambda start: _announce(config, start),
            on_outcome=telling,
            should_stop=stop.is_set,
        )


def _announce(config: ProtectConfig, start: Start) -> None:
    from ulecli.protection.summary import start_text

    say(f"ulecli: {start_text(config, start)}")


def _telling(advance: OnOutcome, json_lines: bool) -> OnOutcome:
    from ulecli.protection.json_records import photo_record

    def on_outcome(outcome: PhotoOutcome, total: int) -> None:
        advance(outcome, total)
        if json_lines:
            put(photo_record(outcome))

    return on_outcome


def _line(outcome: PhotoOutcome, total: int) -> None:
    from ulecli.protection.summary import outcome_line

    if outcome.status is not Status.UNCHANGED:
        say(outcome_line(outcome))


def _tell(report: ProtectReport, code: ExitCode, *, quiet: bool, json_lines: bool) -> None:
    from ulecli.protection.json_records import summary_record
    from ulecli.protection.summary import outcome_line, summary_text

    if json_lines:
        put(summary_record(report, code))
    if quiet:
        for outcome in report.outcomes:
            if outcome.status is Status.FAILED:
                say(f"ulecli: {outcome_line(outcome).strip()}")
    else:
        say(summary_text(report))


def listed_in(source: str, *, null: bool) -> tuple[Path, ...]:
    """Read a list of files.

    Args:
        source: A file, or "-" for stdin.
        null: Names end in NUL instead of a newline.

    Raises:
        NoSuchPath: There is no such file.
        UsageError: It can't be read, or lists nothing.
    """
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except FileNotFoundError:
        raise NoSuchPath(f"--files-from {shown(source)} does not exist") from None
    except OSError as error:
        raise UsageError(f"--files-from {shown(source)} can't be read: {error.strerror}") from error
    names = content.split(b"\0" if null else b"\n")
    if not null and any(b"\0" in name for name in names):
        raise UsageError("--files-from lists names that end in NUL; say so with -0")
    if not null and os.name == "nt":
        names = [name.removesuffix(b"\r") for name in names]
    paths = tuple(Path(os.fsdecode(name)) for name in names if name)
    if not paths:
        raise UsageError(f"--files-from {shown(source)} lists no file")
    return paths
