"""What the audits of poisons found, a line each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ulecli.errors import shown
from ulecli.evaluation.results.markup import as_csv
from ulecli.evaluation.results.record import CONTROLS, LABELS_DIFFER, SCHEMA, RunRecord
from ulecli.evaluation.results.scores import MISPLACED


def audit_lines(records: Sequence[RunRecord]) -> list[str]:
    """Return a line for each poison that was audited, the controls left out."""
    found = {
        one.arm.poison: one.audit
        for one in records
        if one.audit and "mean_amplitude" in one.audit and one.arm.poison not in CONTROLS
    }
    return [audit_line(name, audit) for name, audit in found.items()]


def render_audits(audits: Mapping[str, Mapping[str, Any]], form: str) -> str:
    """Write audits without results.

    Args:
        audits: By the name of the poison, the fields of its audit and "warnings", a sequence of lines.
        form: "json" and "csv" have all fields; every other format is a line for each, and its warnings.

    Returns:
        Text without a newline at its end.
    """
    entries = [{"poison": name, **audit} for name, audit in audits.items()]
    if form == "json":
        return json.dumps({"type": "audit", "schema": SCHEMA, "poisons": entries}, indent=2, allow_nan=False)
    if form == "csv":
        names = dict.fromkeys(name for one in entries for name in one)
        return as_csv([{name: _field(one.get(name, "")) for name in names} for one in entries])
    lines = []
    for name, audit in audits.items():
        lines.append(audit_line(name, audit))
        lines += [f"warning: {shown(warning)} ({shown(name)})" for warning in audit["warnings"]]
    return "\n".join(lines)


def _order(audit: Mapping[str, Any]) -> str:
    if audit.get("misplaced", 0.0) > MISPLACED:
        return "in another order"
    return "order holds" if audit["nearer_to_others"] <= 0.5 else "unlike the data set's images"


def _field(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | tuple) else value


def audit_line(name: str, audit: Mapping[str, Any]) -> str:
    """Say in a line how a poison was read and what it does to the images.

    Args:
        name: Of the poison.
        audit: The fields of a `PoisonAudit`, and the share of labels that differ where there are labels.
    """
    if not audit["changed_share"]:
        return f"audit of {shown(name)}: it changes nothing"
    red, green, blue = audit["mean_amplitude"]
    parts = [
        shown(audit["kind"]) if audit.get("kind") else "",
        f"{audit['changed_share']:.0%} of {audit['count']} images changed",
        f"by up to {audit['max_change']} levels",
        f"on average R {red:.1f} G {green:.1f} B {blue:.1f}",
        f"{audit['negative_share']:.0%} of the changes negative",
        f"PSNR {audit['psnr_db']:.1f} dB",
        "the same in R, G and B" if audit["tied"] == 1 else "",
        "one for each class" if audit["classwise"] and "class" not in audit.get("kind", "") else "",
        _order(audit),
        f"{audit[LABELS_DIFFER]:.1%} of the labels differ" if audit.get(LABELS_DIFFER) else "",
    ]
    return f"audit of {shown(name)}: {', '.join(filter(None, parts))}"
