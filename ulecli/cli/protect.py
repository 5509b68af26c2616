"""`ulecli protect`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ulecli.cli.console import progress, put, say
from ulecli.errors import ExitCode
from ulecli.records import Device, PhotoOutcome, ProtectConfig, ProtectReport, Status
from ulecli.units import MAX_EPSILON


class IdentityFrom(StrEnum):
    """Where the identity of a photo is taken from."""

    FOLDER = "folder"


def protect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photos and folders of photos.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Folder for the protected photos. Default: beside each PATH, as PATH-protected "
            "(a folder) or STEM-protected.jpg (a file).",
        ),
    ] = None,
    eps: Annotated[
        int,
        typer.Option(
            "--eps", metavar="N", help=f"Largest change of a channel in levels, 1 to {MAX_EPSILON}."
        ),
    ] = 8,
    identity: Annotated[
        str, typer.Option(metavar="NAME", help="Whose photos these are; use the same name for later photos.")
    ] = "me",
    identity_from: Annotated[
        IdentityFrom | None, typer.Option(help="Take the identity from the name of each photo's folder.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your key; made if missing. Default: in the configuration folder."),
    ] = None,
    surrogate: Annotated[
        str, typer.Option(metavar="NAME", help="The surrogate that shapes the perturbation.")
    ] = "photo",
    device: Annotated[
        Device, typer.Option(help="What computes; a device that can't be had is an error.")
    ] = Device.AUTO,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Photos in work at a time. Default: one per usable core.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell only what failed.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object per photo and a summary, as lines on stdout.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Tell what would be done; write nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every written photo back and measure it, not one in 16.")
    ] = False,
) -> None:
    r"""Protect photos from being learnt from.

    Writes protected copies of JPEG, PNG and WebP photos; the photos themselves are never changed. Folders are
    taken with all that is below them. A photo that fails does not stop the others (exit code 3).

    \b
    Examples:
      ulecli protect ~/Pictures/2024
      ulecli protect photos -o protected --identity ada
      ulecli protect a.jpg b.png -o protected --eps 6
      ulecli protect people --identity-from folder --json > run.jsonl
    """
    cores = _usable_cores()
    config = ProtectConfig(
        sources=tuple(paths),
        output=output,
        epsilon=eps,
        identity=identity,
        identity_from_folder=identity_from is IdentityFrom.FOLDER,
        key_file=key_file,
        surrogate=surrogate,
        device=device,
        jobs=cores if jobs is None else jobs,
        dry_run=dry_run,
        verify=verify,
    )
    try:
        report = _run(config, threads=max(1, cores // config.jobs), quiet=quiet, json_lines=json_lines)
    except KeyboardInterrupt:
        say("ulecli: interrupted; the photos that were done are whole, no part of another is left")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(report.exit_code)


def _run(config: ProtectConfig, *, threads: int, quiet: bool, json_lines: bool) -> ProtectReport:
    from ulecli import report as reporting
    from ulecli.perturb import open_perturber
    from ulecli.photos import check_exist
    from ulecli.protection import protect as protect_photos

    check_exist(config.sources)  # a mistyped path is told at once, not after the surrogate has been loaded
    perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
    with progress(quiet=quiet) as advance:

        def on_outcome(outcome: PhotoOutcome, total: int) -> None:
            advance(outcome, total)
            if json_lines:
                put(reporting.photo_record(outcome))

        report = protect_photos(config, perturber, on_outcome=on_outcome)
    if json_lines:
        put(reporting.summary_record(report))
    if quiet:
        for outcome in report.outcomes:
            if outcome.status is Status.FAILED:
                say(f"ulecli: {reporting.outcome_line(outcome).strip()}")
    else:
        say(reporting.summary_text(report))
    return report


def _usable_cores() -> int:
    """Count the cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
