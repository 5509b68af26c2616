"""`ulecli verify`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulecli.cli.console import put, say
from ulecli.cli.extras import Visibility
from ulecli.errors import ExitCode, KeyFileError, TargetError, UsageError, shown
from ulecli.formats.options import MetadataMode
from ulecli.system.cores import usable_cores
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.units import parse_epsilon

if TYPE_CHECKING:
    from PIL.Image import Image

    from ulecli.protection.ledger import Direction
    from ulecli.surrogates.recognition import CueReader
    from ulecli.verification.pair_check import Checked

FIGURE_ROWS = 6


def verify(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", readable=False, help="A photo or a folder of photos.")
    ],
    protected: Annotated[
        Path, typer.Argument(metavar="PROTECTED", readable=False, help="What was made of it.")
    ],
    eps: Annotated[
        str | None,
        typer.Option("--eps", metavar="N", help="The bound in levels. Default: what each file says."),
    ] = None,
    metadata: Annotated[
        MetadataMode, typer.Option(help="With which mode they were protected.")
    ] = MetadataMode.PRIVATE,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your key: demand the cue of --identity under it.")
    ] = None,
    identity: Annotated[
        str, typer.Option(metavar="NAME", help="Whose photos these are; only with --key-file.")
    ] = "me",
    surrogate: Annotated[
        str, typer.Option(metavar="NAME", help="The surrogate whose net looks for the cue.")
    ] = "photo",
    cue: Annotated[bool, typer.Option("--cue/--no-cue", help="Check whether the cue is recognised.")] = True,
    visibility: Visibility = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Pairs in work at a time. Default: one per core.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long one pair may take; 0 for ever.")
    ] = DEFAULT_TIMEOUT,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object per pair and a summary, as lines on stdout.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help=f"Draw original, perturbation and protected photo of the first {FIGURE_ROWS} pairs.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only what failed.")] = False,
) -> None:
    """Measure whether protected photos are what protect promises.

    For every pair: the largest change, PSNR and SSIM; how visible the change is at 1080 pixels, as
    SSIMULACRA2 (SSIM2: 90 is not seen, 70 is a good JPEG, below 0 is gross) and mean FLIP (0 to 1, less is
    better); what the file reveals beyond --metadata private; and how far the surrogate's net sees it
    moved from the original along its direction, in the file, after JPEG (q85), and shrunk to 1080, 512 and
    224 pixels and stored so: in standard deviations of a feature, or "no" where the move is hardly along the
    direction. The ledger beside the protected photos knows the direction; without it no cue is looked for.

    A pair fails (exit code 3) if a lossless file breaks the bound, if it is another picture or unchanged, if
    it reveals more than its mode lets through, or if it is not there. A photo whose cue is not recognised is
    listed as weak, and fails the run only where more than half of the pairs are.

    \b
    Examples:
      ulecli verify photo.jpg photo-protected.jpg --figure figure.png
      ulecli verify ~/Pictures/2024 ~/Pictures/2024-protected
      ulecli verify photos photos-protected --key-file key --json > checked.jsonl
    """  # noqa: D301 - the help needs the character itself
    from ulecli.imaging.figure import SIDE
    from ulecli.imaging.visibility import not_measured, to_be_measured
    from ulecli.protection.pairs import pair_up, run_in_progress
    from ulecli.surrogates.recognition import CueReader
    from ulecli.verification.pair_check import Demands, check_all, drawn

    epsilon = None if eps is None else parse_epsilon(eps)
    measured = to_be_measured(visibility)
    reader = CueReader(surrogate) if cue else None
    pairs = pair_up(original, protected, reader.sha256 if reader else "")
    direction = _demanded(key_file, identity, reader, protected)
    if run_in_progress(protected):
        say("a run is in progress: photos that it has not come to have no protected copy yet")
    if direction is not None:
        pairs = [replace(pair, direction=direction) for pair in pairs]
    elif reader and not quiet and all(pair.direction is None for pair in pairs):
        say("no ledger says how these photos were moved, so no cue is looked for")
    workers = jobs or usable_cores()
    try:
        checking = check_all(
            pairs, Demands(epsilon, metadata), reader, visibility=measured, jobs=workers, timeout=timeout
        )
        all_found = _report(checking, visibility=measured, json_lines=json_lines, quiet=quiet)
        if visibility is None and not measured and not quiet:
            say(not_measured())
        if figure:
            _draw(drawn(all_found[:FIGURE_ROWS], SIDE, jobs=workers, timeout=timeout), figure)
    except KeyboardInterrupt:
        say("ulecli: interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    from ulecli.verification.findings import exit_code

    raise typer.Exit(exit_code(all_found))


def _demanded(
    key_file: Path | None, identity: str, reader: CueReader | None, protected: Path
) -> Direction | None:
    """Return the direction that an identity has under a key; None where no key is named."""
    if key_file is None:
        return None
    from ulecli.protection.key import load_key
    from ulecli.verification.key_direction import direction_under

    if reader is None:
        raise UsageError("--key-file is for the cue, and --no-cue says not to look for it; leave one out")
    key = load_key(key_file)
    if key is None:
        raise KeyFileError(f"there is no key in {shown(key_file)}; name the key file that protect used")
    return direction_under(protected, identity, key.secret, reader.sha256)


def _report(checking: Iterable[Checked], *, visibility: bool, json_lines: bool, quiet: bool) -> list[Checked]:
    """Print what is found as it comes, and return it."""
    from ulecli.verification import findings

    all_found = []
    if not json_lines and not quiet:
        print(findings.heading(visibility=visibility))
    for found in checking:
        all_found.append(found)
        if json_lines:
            put(findings.pair_record(found))
        elif found.problems or not quiet:
            print(findings.line(found, visibility=visibility), flush=True)
    if json_lines:
        put(findings.summary_record(all_found))
    if not quiet:
        say(findings.summary_text(all_found))
    return all_found


def _draw(rows: Sequence[tuple[Image, Image, int]], path: Path) -> None:
    from ulecli.imaging.figure import side_by_side
    from ulecli.system.atomic import replacing

    if not rows:
        raise TargetError(
            f"no pair could be compared, so there is nothing to draw into {shown(path)}; leave out --figure"
        )
    try:
        with replacing(path) as part, part.open("wb") as file:
            side_by_side(rows).save(file, "PNG")
    except OSError as error:
        raise TargetError(f"can't write {shown(path)}: {error.strerror}; name another place") from error
