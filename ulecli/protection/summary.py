"""A run in words and as JSON; nothing is measured here."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ulecli.errors import ExitCode, shown
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Status

MOST_REMARKS = 20
"""Lines of remarks in a summary."""

Number = TypeVar("Number", int, float)

SCHEMA = 2
"""Version of the JSON objects; it grows when a field changes its meaning or goes. New fields may come."""


def photo_record(outcome: PhotoOutcome) -> dict[str, Any]:
    """Return one photo as an object for JSON.

    Strings are valid Unicode. Of a path that is no UTF-8 they hold what can be read, and `source_bytes` or
    `target_bytes`, which are there only then, hold all of it in base64.
    """
    return {
        "type": "photo",
        "schema": SCHEMA,
        **path_fields("source", outcome.source),
        **path_fields("target", outcome.target),
        "status": str(outcome.status),
        "reason": _text(outcome.reason),
        "format": outcome.format,
        "width": outcome.width,
        "height": outcome.height,
        "identity": _text(outcome.identity),
        "code": outcome.code,
        "max_change": outcome.max_change,
        "psnr_db": _finite(outcome.psnr_db),
        "max_change_on_disk": outcome.max_change_on_disk,
        "psnr_db_on_disk": _finite(outcome.psnr_db_on_disk),
        "seconds": round(outcome.seconds, 4),
    }


def summary_record(report: ProtectReport, exit_code: ExitCode | None = None) -> dict[str, Any]:
    """Return a whole run, without its photos, as an object for JSON.

    Args:
        report: The run.
        exit_code: What the process ends with, if that is not the report's.
    """
    written = _written(report)
    return {
        "type": "summary",
        "schema": SCHEMA,
        **{str(status): report.count(status) for status in Status},
        "left": report.left,
        "epsilon": report.config.epsilon,
        "surrogate": report.surrogate,
        "device": report.device,
        "jobs": report.config.jobs,
        "max_change": max(_known(one.max_change for one in written), default=None),
        "psnr_db_mean": _finite(_mean(one.psnr_db for one in written)),
        "psnr_db_min": _finite(min(_known(one.psnr_db for one in written), default=None)),
        "read_back": len(_known(one.max_change_on_disk for one in written)),
        "max_change_on_disk": max(_known(one.max_change_on_disk for one in written), default=None),
        "psnr_db_on_disk_mean": _finite(_mean(one.psnr_db_on_disk for one in written)),
        "psnr_db_on_disk_min": _finite(min(_known(one.psnr_db_on_disk for one in written), default=None)),
        "identities": [
            {"name": _text(one.name), "code": one.code, "moved": one.moved} for one in report.identities
        ],
        "notes": [_text(note) for note in report.notes],
        "seconds": round(report.seconds, 4),
        "exit_code": int(report.exit_code if exit_code is None else exit_code),
    }


def summary_text(report: ProtectReport) -> str:
    """Return a whole run in a few lines, with every photo that was skipped or failed and why.

    What was remarked of protected photos is told once for all of which the same is true.
    """
    lines = [_counts(report)]
    if written := _written(report):
        lines += [
            f"  surrogate  {report.surrogate} on {report.device}",
            f"  change     {_change(written, report.config.epsilon)}",
            f"  on disk    {_on_disk(written)}",
            f"  identity   {_identities(report)}",
        ]
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
        yield f"  remark     and {len(photos) - MOST_REMARKS} others, which --json tells"


def _identities(report: ProtectReport) -> str:
    if len(report.identities) == 1:
        (only,) = report.identities
        return f"{shown(only.name)}, code {only.code}"
    return f"{len(report.identities)} of them, {len({one.code for one in report.identities})} codes"


def path_fields(name: str, path: Path | None) -> dict[str, str | None]:
    """Return a path as the fields of an object for JSON: `name`, and `name_bytes` where it is no UTF-8."""
    if path is None:
        return {name: None}
    text = _text(str(path))
    if text == str(path):
        return {name: text}
    return {name: text, f"{name}_bytes": base64.b64encode(os.fsencode(path)).decode("ascii")}


def _text(words: str) -> str:
    """Replace what of a name is no Unicode, which strict readers of JSON refuse."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", words)


def _written(report: ProtectReport) -> list[PhotoOutcome]:
    return [outcome for outcome in report.outcomes if outcome.status is Status.WRITTEN]


def _change(written: list[PhotoOutcome], epsilon: int) -> str:
    largest = max(_known(one.max_change for one in written), default=0)
    return (
        f"{largest} of {epsilon} levels at most before encoding, "
        f"PSNR {_decibels([one.psnr_db for one in written])}"
    )


def _on_disk(written: list[PhotoOutcome]) -> str:
    changes = _known(one.max_change_on_disk for one in written)
    if not changes:
        return "not measured; --verify reads every photo back"
    psnr = _decibels([one.psnr_db_on_disk for one in written])
    sample = "" if len(changes) == len(written) else "; --verify reads back all"
    return (
        f"{max(changes)} levels at most, lossy formats' own changes included, PSNR {psnr}; "
        f"{len(changes)} of {len(written)} read back{sample}"
    )


def _decibels(values: list[float | None]) -> str:
    return f"{_mean(values):.1f} dB mean, {min(_known(values)):.1f} dB at least"


def _known(values: Iterable[Number | None]) -> list[Number]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float:
    # A picture that could not change (all of it transparent) has no finite PSNR and says nothing of the rest.
    finite = [value for value in _known(values) if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.inf


def _finite(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None
