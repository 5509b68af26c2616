"""`ulecli protect`: its options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ulecli.cli.extras import RayAddress
from ulecli.cli.file_list import read_file_list
from ulecli.cli.protect_run import run
from ulecli.errors import UsageError
from ulecli.formats.options import MetadataMode, Reading
from ulecli.imaging.strength import Strength
from ulecli.protection.config import ProtectConfig, Selection, check_in_place
from ulecli.system.cores import usable_cores
from ulecli.system.devices import Device
from ulecli.system.worker_kinds import WorkerKind, usual_jobs
from ulecli.units import DEFAULT_EPSILON, MAX_EPSILON, parse_epsilon


class IdentityFrom(StrEnum):
    """Where the identity of a photo is taken from."""

    FOLDER = "folder"


def protect(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", readable=False, help="Photos and folders of photos."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            readable=False,  # whether it can be written is checked later, and said in one line
            help="Folder for the protected photos; or, of one photo, the file itself: OUT.jpg. Default: "
            "beside each PATH, as PATH-protected (a folder) or STEM-protected.jpg (a file).",
        ),
    ] = None,
    eps: Annotated[
        str,
        typer.Option(
            "--eps", metavar="N", help=f"Largest change of a channel in levels, 1 to {MAX_EPSILON}."
        ),
    ] = str(DEFAULT_EPSILON),
    strength: Annotated[
        Strength, typer.Option(help="How visible the change may be; smooth areas are changed less.")
    ] = Strength.DEFAULT,
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
    metadata: Annotated[
        MetadataMode,
        typer.Option(
            help="private: the colour profile, date and camera stay; places, persons, serial numbers and "
            "previews go."
        ),
    ] = MetadataMode.PRIVATE,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Take only files of such a name or path; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out files and folders of such a name or path; repeatable."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Take the folders in a folder too.")
    ] = True,
    files_from: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Also take the files that are listed there, one in a line."),
    ] = None,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="What is listed ends in NUL, as with find -print0.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the photos themselves; needs one of the next two.")
    ] = False,
    backup: Annotated[
        Path | None,
        typer.Option(metavar="DIR", readable=False, help="With --in-place: where the photos are kept."),
    ] = None,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="With --in-place: lose the photos as they were.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Remembers what is done. Default: .ulecli.sqlite in the output."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the way that no run has written.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make again what is done and unchanged.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove copies whose photos were deleted; try -n first.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what appears in the folders, until interrupted.")
    ] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(metavar="N", help="Refuse larger pictures by their header. Default: 300000000."),
    ] = None,
    first_frame: Annotated[
        bool, typer.Option("--first-frame", help="Take the first picture of animations and pages.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up on a photo after that; 0 for never.")
    ] = 300.0,
    surrogate: Annotated[
        str, typer.Option(metavar="NAME", help="The surrogate that shapes the perturbation.")
    ] = "photo",
    device: Annotated[
        Device, typer.Option(help="What computes; a device that can't be had is an error.")
    ] = Device.AUTO,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Photos in work at a time. Default: one per usable core.")
    ] = None,
    workers: Annotated[
        WorkerKind, typer.Option(help="Who protects: this machine, or Ray on one or many; see README.")
    ] = WorkerKind.PROCESSES,
    ray_address: RayAddress = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only what failed.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object per photo and a summary, as lines on stdout.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be done; write nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every written photo back and measure it, not one in 32.")
    ] = False,
) -> None:
    """Protect photos from being learnt from.

    Writes protected copies; the photos themselves are never changed but with --in-place. Folders are taken
    with all that is below them. A photo that fails does not stop the others (exit code 3). What is done and
    unchanged is not done again, so a run that was cut short is just started again.

    \b
    Examples:
      ulecli protect ~/Pictures/2024
      ulecli protect photos -o protected --identity ada
      ulecli protect a.jpg b.png -o protected --eps 6
      ulecli protect people --identity-from folder --json > run.jsonl
      ulecli protect photos --in-place --backup originals
      find photos -type f -newer stamp -print0 | ulecli protect -0 --files-from - -o protected
    """  # noqa: D301 - the help needs the character itself
    if not paths and files_from is None:
        raise UsageError("name a PATH to protect, a photo or a folder (more: ulecli protect --help)")
    check_in_place(in_place, backup, no_backup)
    cores = usable_cores()
    config = ProtectConfig(
        sources=tuple(paths or ()),
        output=output,
        epsilon=parse_epsilon(eps),
        strength=strength,
        identity=identity,
        identity_from_folder=identity_from is IdentityFrom.FOLDER,
        key_file=key_file,
        surrogate=surrogate,
        device=device,
        jobs=usual_jobs(workers) if jobs is None else jobs,
        dry_run=dry_run,
        verify=verify,
        listed=read_file_list(files_from, null=null) if files_from else (),
        selection=Selection(tuple(include or ()), tuple(exclude or ()), recursive),
        reading=Reading(max_pixels, first_frame, metadata),
        in_place=in_place,
        backup=backup,
        ledger=ledger,
        overwrite=overwrite,
        force=force,
        timeout=timeout,
        prune=prune,
        workers=workers,
        ray_address=ray_address,
    )
    threads = max(1, cores // (config.jobs or cores))
    raise typer.Exit(run(config, threads=threads, quiet=quiet, json_lines=json_lines, watching=watch))
