"""`ulecli report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulecli.cli.console import say
from ulecli.cli.extras import Visibility
from ulecli.errors import NoSuchPath, TargetError, UsageError, shown
from ulecli.system.cores import usable_cores
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.units import DEFAULT_EPSILON, parse_epsilon

if TYPE_CHECKING:
    from ulecli.protection.outcome import PhotoOutcome
    from ulecli.report.runs import Run


SEARCHED = 4


def report(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder that protect has written, or its ledger.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.html", help="The page. Default: OUT-report.html."),
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The originals, if OUT has no ledger that knows them."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="FILE.jsonl", help="What protect --json wrote, instead of the ledger."),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option("--eps", metavar="N", help="The bound in levels, if the run does not say it."),
    ] = None,
    photos: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help=f"Show at most so many photos: the worst of {SEARCHED} times as many, evenly spread.",
        ),
    ] = 24,
    visibility: Visibility = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long one photo may take; 0 for ever.")
    ] = DEFAULT_TIMEOUT,
) -> None:
    """Write one HTML page of what protect did: photos before and after, failures with reasons.

    The photos in which the change is seen most come first, by SSIMULACRA2 or, without the extra measure, by
    SSIM. Each is shown as it fits a screen and, where it is larger, at 100 % in its weakest place.

    The page is a single file without scripts, of some 1 MB a photo; it works offline and asks nobody for
    anything. It shows perturbations, so keep it to yourself.

    \b
    Examples:
      ulecli report ~/Pictures/2024-protected
      ulecli report protected --original photos -o report.html
      ulecli report protected --run run.jsonl
    """  # noqa: D301 - the help needs the character itself
    from datetime import datetime

    from ulecli.imaging.visibility import not_measured, to_be_measured
    from ulecli.protection.outcome import Status
    from ulecli.report.cards import cards, chosen, worst
    from ulecli.report.page import page
    from ulecli.system.atomic import replacing

    failures: list[str] = []

    def fail(outcome: PhotoOutcome, reason: str) -> None:
        failures.append(f"{shown(outcome.target or outcome.source)} can't be shown: {shown(reason)}")

    jobs, measured = usable_cores(), to_be_measured(visibility)
    asked = None if eps is None else parse_epsilon(eps)
    found = _run(out, original, run, jobs=jobs, timeout=timeout)
    epsilon = asked or found.epsilon or DEFAULT_EPSILON
    drawing = cards(
        chosen(found.outcomes, SEARCHED * photos),
        epsilon,
        visibility=measured,
        jobs=jobs,
        timeout=timeout,
        on_failure=fail,
    )
    shown_first = worst(drawing, photos)
    target = output or out.absolute().with_name(out.absolute().name + "-report.html")
    try:
        with replacing(target) as part:
            part.write_text(page(found, shown_first, datetime.now().astimezone()), encoding="utf-8")
    except OSError as error:
        raise TargetError(f"can't write {shown(target)}: {error.strerror}; choose another with -o") from error
    for line in sorted(failures):
        say(f"ulecli: {line}")
    if visibility is None and not measured:
        say(not_measured())
    if found.in_progress:
        say("a run is in progress: the page shows what is done so far")
    failed = len(found.of(Status.FAILED))
    say(f"wrote {shown(target)}: {len(found.of(Status.WRITTEN))} protected, {failed} failed")


def _run(out: Path, original: Path | None, run: Path | None, *, jobs: int, timeout: float) -> Run:
    from ulecli.report.runs import check_not_empty, from_json, from_ledger, from_pairs

    if original and run:
        raise UsageError("--original and --run are two ways to say what was done; leave one out")
    for path in (out, run):
        if path and not path.exists():
            raise NoSuchPath(f"{shown(path)} does not exist")
    if original:
        found = from_pairs(original, out, jobs=jobs, timeout=timeout)
    else:
        found = from_json(run) if run else from_ledger(out)
    check_not_empty(found)
    return found
