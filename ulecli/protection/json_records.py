"""A run as objects for JSON; nothing is measured here."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from ulecli.errors import ExitCode
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Status

Number = TypeVar("Number", int, float)

SCHEMA = 3
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
        "direction": outcome.direction,
        "max_change": outcome.max_change,
        "psnr_db": _finite(outcome.psnr_db),
        "max_change_on_disk": outcome.max_change_on_disk,
        "psnr_db_on_disk": _finite(outcome.psnr_db_on_disk),
        "seconds": round(outcome.seconds, 4),
        "recognised": outcome.recognised,
    }


def summary_record(report: ProtectReport, exit_code: ExitCode | None = None) -> dict[str, Any]:
    """Return a whole run, without its photos, as an object for JSON.

    Args:
        report: The run.
        exit_code: What the process ends with, if that is not the report's.
    """
    written = written_in(report)
    directions = {one.identity: one.direction for one in report.outcomes if one.direction}
    return {
        "type": "summary",
        "schema": SCHEMA,
        **{str(status): report.count(status) for status in Status},
        "left": report.left,
        "epsilon": report.config.epsilon,
        "strength": str(report.config.strength),
        "surrogate": report.surrogate,
        "device": report.device,
        "jobs": report.config.jobs,
        "max_change": max(known(one.max_change for one in written), default=None),
        "psnr_db_mean": _finite(mean(one.psnr_db for one in written)),
        "psnr_db_min": _finite(min(known(one.psnr_db for one in written), default=None)),
        "read_back": len(known(one.max_change_on_disk for one in written)),
        "max_change_on_disk": max(known(one.max_change_on_disk for one in written), default=None),
        "psnr_db_on_disk_mean": _finite(mean(one.psnr_db_on_disk for one in written)),
        "psnr_db_on_disk_min": _finite(min(known(one.psnr_db_on_disk for one in written), default=None)),
        "identities": [
            {"name": _text(name), "direction": directions.get(name, "")} for name in report.identities
        ],
        "notes": [_text(note) for note in report.notes],
        "recognised": sum(one.recognised is True for one in written),
        "unrecognised": sum(one.recognised is False for one in written),
        "orphans": [
            {
                **path_fields("source", one.source),
                **path_fields("target", one.target),
                "removed": one.removed,
                "reason": _text(one.reason),
            }
            for one in report.orphans
        ],
        "seconds": round(report.seconds, 4),
        "exit_code": int(report.exit_code if exit_code is None else exit_code),
    }


def written_in(report: ProtectReport) -> list[PhotoOutcome]:
    """Return what was written in a run."""
    return [outcome for outcome in report.outcomes if outcome.status is Status.WRITTEN]


def known(values: Iterable[Number | None]) -> list[Number]:
    """Return the values that were measured."""
    return [value for value in values if value is not None]


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of the finite values; infinite if there is none."""
    # A picture that could not change (all of it transparent) has no finite PSNR and says nothing of the rest.
    finite = [value for value in known(values) if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.inf


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


def _finite(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None
