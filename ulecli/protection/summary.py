"""A run in words; nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ulecli.errors import shown
from ulecli.protection.config import ProtectConfig
from ulecli.protection.json_records import known, mean, written_in
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Start, Status

MOST_REMARKS = 20
"""Lines of remarks in a summary."""


def start_text(config: ProtectConfig, start: Start) -> str:
    """Return in one line what a run is about to do."""
    verb = "this would protect" if config.dry_run else "protecting"
    text = f"{verb} {_number(start.photos, 'photo')} of {_sources(config)}{_whereto(config, start.roots)}"
    text += (
        f", no colour channel changed by more than {config.epsilon} of 255 levels (--eps {config.epsilon})"
    )
    if config.dry_run:
        return f"{text}; nothing is written"
    return f"{text}; what an earlier run has done is left alone" if start.again else text


def watch_text(config: ProtectConfig) -> str:
    """Return in one line what a watch is about to do."""
    where = _whereto(config, [config.output] if config.output else ())
    return f"watching {_sources(config)}, protecting what is there and what appears{where}; end with Ctrl-C"


def summary_text(report: ProtectReport) -> str:
    """Return a whole run in a few lines, with every photo that was skipped or failed and why.

    What was remarked of protected photos is said once for all of which the same is true.
    """
    lines = [_counts(report)]
    if written := written_in(report):
        lines += [
            f"  change     {_change(written, report.config.epsilon)}",
            f"  on disk    {_on_disk(written)}",
            *(f"  cue        {line}" for line in _recognition(written)),
            f"  identity   {_identities(report)}",
            f"  made with  surrogate {report.surrogate} on {report.device}",
        ]
    lines += [f"  copies     {line}" for line in _orphans(report)]
    lines += [f"  note       {shown(note)}" for note in report.notes]
    lines += _remarks(report)
    for status in (Status.SKIPPED, Status.FAILED):
        lines += [outcome_line(outcome) for outcome in report.outcomes if outcome.status is status]
    return "\n".join(lines)


def outcome_line(outcome: PhotoOutcome) -> str:
    """Return one photo in a line: what became of it and why."""
    line = f"  {outcome.status:<9}  {shown(outcome.source)}"
    if outcome.status in (Status.WRITTEN, Status.PLANNED) and outcome.target:
        line += f" -> {shown(outcome.target)}"
    return f"{line}: {shown(outcome.reason)}" if outcome.reason else line


def _counts(report: ProtectReport) -> str:
    count = report.count
    if report.config.dry_run:
        head = f"{count(Status.PLANNED)} would be protected"
    else:
        head = f"{count(Status.WRITTEN)} protected"
    if unchanged := count(Status.UNCHANGED):
        head += f", {unchanged} unchanged"
    text = f"{head}, {count(Status.SKIPPED)} skipped, {count(Status.FAILED)} failed in {report.seconds:.1f} s"
    return f"{text}; {report.left} left for the next run" if report.left else text


def _remarks(report: ProtectReport) -> Iterator[str]:
    photos: dict[str, list[Path]] = {}
    for outcome in report.outcomes:
        if outcome.reason and outcome.status in (Status.WRITTEN, Status.PLANNED):
            photos.setdefault(outcome.reason, []).append(outcome.source)
    for reason, (first, *more) in list(photos.items())[:MOST_REMARKS]:
        others = f" and {len(more)} more" if more else ""
        yield f"  remark     {shown(first)}{others}: {shown(reason)}"
    if len(photos) > MOST_REMARKS:
        yield f"  remark     and {len(photos) - MOST_REMARKS} others, which --json names"


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def _some(names: Sequence[str], most: int = 4) -> str:
    """List names, but for the last ones where there are many."""
    names = [shown(name) for name in names]
    return (
        ", ".join(names)
        if len(names) <= most
        else f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    )


def _sources(config: ProtectConfig) -> str:
    names = [str(source) for source in config.sources]
    return _some([*names, f"a list of {len(config.listed)}"] if config.listed else names)


def _whereto(config: ProtectConfig, roots: Sequence[Path]) -> str:
    if config.in_place:
        return (
            f" in place, the originals into {shown(config.backup)}"
            if config.backup
            else " in place, for good"
        )
    if config.output and len(config.sources) == 1 and roots and config.output not in roots:
        return f" into {shown(config.output)}"  # the file itself
    return f" into {_some([str(root) for root in roots])}" if roots else ""


def _recognition(written: list[PhotoOutcome]) -> Iterator[str]:
    asked = [one.recognised for one in written if one.recognised is not None]
    if asked:
        text = f"recognised in {sum(asked)} of {_number(len(asked), 'photo')}"
        weak = len(asked) - sum(asked)
        yield f"{text}; in {weak} the cue is too weak (named by --json)" if weak else text


def _orphans(report: ProtectReport) -> Iterator[str]:
    """Say what became of copies whose photos are gone, and name those that stay although they should go."""
    if not report.orphans:
        return
    removed = [one for one in report.orphans if one.removed]
    if not report.config.prune:
        have = _number(len(report.orphans), "copy has", "copies have")
        yield f"{have} no photo any more; --prune removes {'it' if len(report.orphans) == 1 else 'them'}"
    elif report.config.dry_run:
        yield from (f"would be removed, its photo is gone: {shown(one.target)}" for one in removed)
    elif removed:
        yield f"removed {_number(len(removed), 'copy', 'copies')} whose photos are gone"
    yield from (f"{shown(one.target)} {one.reason}" for one in report.orphans if one.reason)


def _identities(report: ProtectReport) -> str:
    names = report.identities
    return _some(names) if len(names) < 2 else f"{len(names)} of them: {_some(names)}"


def _change(written: list[PhotoOutcome], epsilon: int) -> str:
    largest = max(known(one.max_change for one in written), default=0)
    return (
        f"{largest} of 255 levels at most in any colour channel, as --eps {epsilon} allows; "
        f"PSNR {_decibels([one.psnr_db for one in written])} (more is fainter)"
    )


def _on_disk(written: list[PhotoOutcome]) -> str:
    changes = known(one.max_change_on_disk for one in written)
    if not changes:
        return "not measured; --verify reads every photo back"
    psnr = _decibels([one.psnr_db_on_disk for one in written])
    sample = "" if len(changes) == len(written) else "; --verify reads back all"
    return (
        f"{max(changes)} levels at most, with what storing as JPEG and the like changes; PSNR {psnr}; "
        f"{len(changes)} of {len(written)} read back{sample}"
    )


def _decibels(values: list[float | None]) -> str:
    return f"{mean(values):.1f} dB on average, {min(known(values)):.1f} dB at least"
