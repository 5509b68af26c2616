"""`ulecli evaluate --reproduce`: the paper's tables and figures again, ours beside its."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ulecli.cli.console import say
from ulecli.cli.evaluate_progress import listening
from ulecli.cli.extras import torch_device
from ulecli.cli.lists import names, whole_numbers
from ulecli.cli.work_progress import duration
from ulecli.errors import SomeFailed, UsageError, shown, unknown

if TYPE_CHECKING:
    from ulecli.evaluation.listener import Listener
    from ulecli.evaluation.reproduction.asked import Asked
    from ulecli.evaluation.reproduction.expectation import Expected
    from ulecli.evaluation.reproduction.plan import Group, Plan
    from ulecli.evaluation.reproduction.running import Reproduction

_TAKEN = {
    *("reproduce", "preset", "seeds", "dataset", "data_root", "offline", "size", "train_images", "out"),
    *("resume", "device", "jobs", "threads", "workers", "ray_address", "output_format", "quiet"),
}
"""Options of `evaluate` that a reproduction takes; the tables themselves say everything else."""


def reproduce_paper(context: typer.Context) -> None:
    """Carry out `ulecli evaluate --reproduce`.

    Args:
        context: Of `evaluate`, with its options.

    Raises:
        UsageError: An option can't be right, or says what the tables say.
        SomeFailed: Some trainings failed; the others are done.
        UleError: Data or output can't be used.
        KeyboardInterrupt: Ctrl-C; what is done is printed first, and kept.
    """
    _check_options(context)
    options = context.params
    from ulecli.evaluation.reproduction.comparison import render_reproduction
    from ulecli.evaluation.reproduction.expectation import expect
    from ulecli.evaluation.reproduction.plan import plan
    from ulecli.evaluation.reproduction.running import carry_out

    asked, quiet = _asked(options), options["quiet"]
    planned = plan(asked)
    if not quiet:
        say(f"taking the first steps of {len(planned.groups)} groups of trainings")
    expected = expect(planned, measured=not quiet)
    if not quiet:
        _announce(planned, expected)
    started = time.monotonic()
    done = carry_out(planned, _listening(planned, quiet))
    print(render_reproduction(done, options["output_format"], encoding=sys.stdout.encoding or "ascii"))
    page = _write_page(done, time.monotonic() - started)
    if not quiet:
        for note in done.notes:
            say(f"note: {note}")
        say(f"kept in {shown(asked.out)}: {page.name}; the same command takes it up again")
    if done.interrupted:
        raise KeyboardInterrupt
    if done.failed:
        raise SomeFailed(
            f"{len(done.failed)} of {len(planned.trainings) - len(planned.left_out)} kinds of trainings "
            "failed, for reasons that stand below the tables; the same command tries them again"
        )


def _check_options(context: typer.Context) -> None:
    """Refuse options that the tables decide.

    Raises:
        UsageError: There is one, or --out is missing.
    """
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in _TAKEN:
            option = parameter.opts[0]
            raise UsageError(f"--reproduce says by itself what {option} would say: leave {option} out")
    if context.params["out"] is None:
        raise UsageError("--reproduce needs --out, the folder for trainings, tables and the report")
    from ulecli.evaluation.results.markup import Format

    if context.params["output_format"] not in set(Format):
        raise unknown("--format", context.params["output_format"], Format)


def _asked(options: dict[str, Any]) -> Asked:
    from ulecli.evaluation.reproduction.asked import Asked

    return Asked(
        tables=names(options["reproduce"].lower()),
        out=options["out"],
        preset=options["preset"],
        dataset=options["dataset"] if options["dataset"] != "cifar10" else "",
        seeds=whole_numbers(options["seeds"], "--seeds"),
        data_root=options["data_root"],
        download=not options["offline"],
        size=options["size"],
        train_images=options["train_images"],
        device=torch_device(options["device"]).type,
        jobs=options["jobs"],
        threads=options["threads"],
        workers=options["workers"],
        ray_address=options["ray_address"],
    )


def _announce(planned: Plan, expected: Expected) -> None:
    """Say how much there is to do and how long it takes, before the first training begins."""
    from ulecli.evaluation.reproduction.comparison import left_out

    for line in left_out(planned):
        say(line)
    seeds = len(planned.asked.seeds)
    done = f", {expected.done} of them are done already" if expected.done else ""
    say(
        f"{expected.trainings} trainings in {len(planned.groups)} groups with {seeds} "
        f"seed{'s' if seeds > 1 else ''}{done}; by their first steps on this machine, all that is left takes "
        f"{duration(expected.seconds)}"
        + (f", and what is not known yet: {'; '.join(expected.unknown)}" if expected.unknown else "")
    )


def _listening(planned: Plan, quiet: bool) -> Any:
    @contextmanager
    def lend(group: Group, number: int) -> Iterator[Listener | None]:
        if not quiet:
            say(f"group {number} of {len(planned.groups)}: {group.title}")
        with listening(quiet=quiet) as listener:
            yield listener

    return lend


def _write_page(done: Reproduction, seconds: float) -> Path:
    from ulecli.report.reproduction import write_reproduction

    target = done.plan.asked.out / "report.html"
    write_reproduction(done, target, seconds=seconds, when=datetime.now().astimezone())
    return target
