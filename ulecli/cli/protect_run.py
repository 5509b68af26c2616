"""A run of `ulecli protect`: what it reports, and how it is ended from outside."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from ulecli.cli.console import put, say
from ulecli.cli.protect_progress import OnOutcome, progress
from ulecli.errors import ExitCode
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
    """Protect, report it, and return what the process ends with.

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
    _summarise(report, code, quiet=quiet, json_lines=json_lines)
    if stop.code and not watching:
        say("ulecli: interrupted; the next run goes on from here")
    return code


def _report(
    config: ProtectConfig, stop: Stop, threads: int, *, quiet: bool, json_lines: bool, watching: bool
) -> ProtectReport:
    from ulecli.protection.find import check_exist
    from ulecli.surrogates.opening import open_perturber

    check_exist(config.sources)  # a mistyped path is named at once, not after the surrogate has been loaded
    if watching:
        from ulecli.protection.summary import watch_text
        from ulecli.protection.watch import check_watchable, watch

        check_watchable(config)
        perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
        reporting = _reporting(_line if not quiet else lambda outcome, total: None, json_lines)
        if not quiet:
            say(f"ulecli: {watch_text(config)}")
        remark = lambda words: say(f"ulecli: {words}")  # noqa: E731
        return watch(config, perturber, stop, on_outcome=reporting, on_remark=remark)
    from ulecli.protection.run import protect as protect_photos

    perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
    with progress(quiet=quiet) as advance:
        reporting = _reporting(advance, json_lines)
        return protect_photos(
            config,
            perturber,
            on_start=None if quiet or json_lines else lambda start: _announce(config, start),
            on_outcome=reporting,
            should_stop=stop.is_set,
        )


def _announce(config: ProtectConfig, start: Start) -> None:
    from ulecli.protection.summary import start_text

    say(f"ulecli: {start_text(config, start)}")


def _reporting(advance: OnOutcome, json_lines: bool) -> OnOutcome:
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


def _summarise(report: ProtectReport, code: ExitCode, *, quiet: bool, json_lines: bool) -> None:
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
