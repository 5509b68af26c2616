"""Records as tables; nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from ulecli.errors import shown
from ulecli.evaluation.results.audits import audit_lines
from ulecli.evaluation.results.markup import Format, Table, written
from ulecli.evaluation.results.record import (
    BANDS,
    CLEAN,
    CLEAN_SHARE,
    CONTROLS,
    NOISE_MEAN,
    SCHEMA,
    RunRecord,
)
from ulecli.evaluation.results.summary import Spread, Summary, by_cell
from ulecli.evaluation.results.verdict import sentence, withheld

NOTHING = "-"
"""What a cell without a run holds."""

_PLAIN = (
    *("epsilon", "chance", "last", "peak", "train", "n_train", "n_test", "seconds", "device"),
    *("deterministic", "data_md5", "train_md5"),
)
"""Attributes of a record that are a column of the CSV as they are."""

_VALIDATED = ("n_validation", "stopped")
"""Those that are columns only where clean images were validated on."""

_UNBOUNDED = (CLEAN, CLEAN_SHARE, NOISE_MEAN, *BANDS)
"""Controls that are not held to the bound of the others."""


def render(
    records: Sequence[RunRecord],
    form: Format | str,
    *,
    recalls_for: Sequence[str] = (),
    encoding: str = "utf-8",
) -> str:
    """Write records in one of five formats.

    `table`, `markdown` and `latex` hold the same tables: rows are poisons, the controls first; columns are
    exploiters; a cell is mean ± sample standard deviation over seeds, in percent. Below them stand what the
    audit of each poison found, a sentence that says what the figures mean, and what the self-checks found.
    `csv` has one line a run, `json` is one object with all curves.

    Args:
        records: What to write, at least one.
        form: How.
        recalls_for: Classes whose recall is shown by itself, because they alone were protected.
        encoding: Of the stream that a `table` goes to; what it can't hold is replaced.

    Returns:
        Text without a newline at its end.

    Raises:
        ValueError: There is no such format or class.
    """
    known = {name for record in records for name in record.classes}
    if unknown := [name for name in recalls_for if name not in known]:
        raise ValueError(f"no recall of {unknown[0]!r}: the classes are {', '.join(sorted(known))}")
    closing = [*audit_lines(records), sentence(records, recalls_for), *made_how(records), *remarks(records)]
    return written(
        form,
        document=lambda: document(records, recalls_for),
        lines=lambda: csv_lines(records),
        blocks=lambda: blocks(records, recalls_for),
        closing=closing,
        encoding=encoding,
    )


def document(records: Sequence[RunRecord], recalls_for: Sequence[str] = ()) -> dict[str, Any]:
    """Return records as one object for JSON: a cell an arm, with its figures and its runs as they are."""
    arms = []
    for one, runs in by_cell(records).items():
        summary = Summary.of(runs)
        figures = {"last": spread_figures(summary.last), "peak": spread_figures(summary.peak)}
        if summary.stopped is not None:
            figures["stopped"] = spread_figures(summary.stopped)
        known = {"n": summary.n, "chance": runs[0].chance, **figures}
        arms.append({**one._asdict(), **known, "runs": [run.to_json() for run in runs]})
    return {
        "type": "evaluation",
        "schema": SCHEMA,
        "sentence": sentence(records, recalls_for),
        "no_verdict": withheld(records, recalls_for),
        "arms": arms,
    }


def spread_figures(spread: Spread) -> dict[str, float | None]:
    """Return a spread as an object for JSON."""
    return {"mean": spread.mean, "std": spread.std}


def blocks(records: Sequence[RunRecord], recalls_for: Sequence[str] = ()) -> list[tuple[str, list[Table]]]:
    """Return for every data set, preset and net a line that says what was measured, and its tables."""
    groups: dict[tuple[str, str, str], list[RunRecord]] = {}
    for one in records:
        groups.setdefault((one.arm.dataset, one.arm.preset, one.arm.arch), []).append(one)
    return [(conditions(runs), _tables(runs, recalls_for)) for runs in groups.values()]


def conditions(runs: Sequence[RunRecord]) -> str:
    """Say what the figures of runs of one data set, preset and net were measured on and with."""
    first = runs[0]
    bounds = sorted({one.epsilon for one in runs if one.arm.poison not in _UNBOUNDED})
    strength = f"epsilon {_series(bounds)}" if bounds else "no poison"
    versions = dict.fromkeys(f"{name} {number}" for one in runs for name, number in one.versions.items())
    seeds = sorted({one.arm.seed for one in runs})
    exact = all(one.deterministic for one in runs)
    shapes = dict.fromkeys(tuple(one.audit["shape"]) for one in runs if one.audit and "shape" in one.audit)
    held = max(one.n_validation for one in runs)
    rest = f", {first.n_test} test and {held} validation" if held else f" and {first.n_test} test"
    size = "".join(f" of {width} x {height}" for _, height, width in shapes)
    return (
        f"{shown(first.arm.dataset)}, preset {first.arm.preset}, net {first.arm.arch}: "
        f"{_series(sorted({one.n_train for one in runs}))} training{rest} images{size}, "
        f"{len(first.classes)} classes (chance {first.chance:.1f} %), {strength}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_series(seeds)}; "
        f"{', '.join(dict.fromkeys(one.device for one in runs))}"
        f"{'' if exact else ' (another run may differ slightly)'}, {', '.join(versions)}"
    )


def made_how(records: Sequence[RunRecord]) -> list[str]:
    """Say how controls were made whose name does not say it, one line each."""
    found = dict.fromkeys(
        (one.arm.poison, str(one.audit["kind"]))
        for one in records
        if one.arm.poison in CONTROLS and one.audit and one.audit.get("kind")
    )
    sizes = sorted({one.n_train for one in records if one.arm.poison == CLEAN_SHARE})
    mixed = (
        [
            f"{CLEAN_SHARE}: the clean {_series(sizes)} images alone; {CLEAN}: as many clean images in place "
            "of the protected"
        ]
        if sizes
        else []
    )
    return [*mixed, *(f"{name}: {shown(kind)}" for name, kind in found)]


def _row(poison: str) -> int:
    """Return which place among the rows a poison has: controls in their order, then all others."""
    return CONTROLS.index(poison) if poison in CONTROLS else len(CONTROLS)


def remarks(records: Sequence[RunRecord]) -> list[str]:
    """Return what the self-checks found, once each, with the runs it was found in."""
    found: dict[str, dict[str, None]] = {}
    for one in records:
        for warning in one.warnings:
            where = f"{shown(one.arm.poison)}/{one.arm.exploiter}/{one.arm.arch}"
            found.setdefault(warning, {})[where] = None
    return [f"warning: {shown(warning)} ({', '.join(where)})" for warning, where in found.items()]


def _tables(runs: Sequence[RunRecord], recalls_for: Sequence[str]) -> list[Table]:
    tables = [
        _grid("Test accuracy after the last epoch, %", runs, lambda one: {one.arm.exploiter: one.last}, True),
        _grid("Test accuracy after the best epoch, %", runs, lambda one: {one.arm.exploiter: one.peak}, True),
    ]
    if any(one.stopped is not None for one in runs):
        title = "Test accuracy after the epoch that is best on clean validation images, %"
        tables.append(_grid(title, runs, _stopped, True))
    if any(one.arm.poison == CLEAN_SHARE for one in runs):
        tables.append(_grid("Difference from as much clean data, points", runs, _difference(runs)))
    for exploiter in dict.fromkeys(one.arm.exploiter for one in runs):
        mine = [one for one in runs if one.arm.exploiter == exploiter]
        if any(one.robust for one in mine):
            tables.append(_grid(f"Test accuracy under attack, exploiter {exploiter}, %", mine, _robust))
        if recalls_for:
            title = f"Share of a class's test images recognised, exploiter {exploiter}, %"
            tables.append(_grid(title, mine, lambda one: _recalls(one, recalls_for)))
    return tables


def _difference(runs: Sequence[RunRecord]) -> Callable[[RunRecord], Mapping[str, float]]:
    """Return what gives a run's last accuracy less that of clean images with the same exploiter and seed."""
    clean = {(one.arm.exploiter, one.arm.seed): one.last for one in runs if one.arm.poison == CLEAN}

    def figures(record: RunRecord) -> dict[str, float]:
        beside = clean.get((record.arm.exploiter, record.arm.seed))
        if beside is None or record.arm.poison == CLEAN:
            return {}
        return {record.arm.exploiter: record.last - beside}

    return figures


def _stopped(record: RunRecord) -> dict[str, float]:
    return {} if record.stopped is None else {record.arm.exploiter: record.stopped}


def _robust(record: RunRecord) -> dict[str, float]:
    if not record.robust:
        return {}
    return {"clean": record.last, **{name.upper(): value for name, value in record.robust.items()}}


def _recalls(record: RunRecord, wanted: Sequence[str]) -> dict[str, float]:
    known = dict(zip(record.classes, record.recalls, strict=False))
    others = [value for name, value in known.items() if name not in wanted]
    shares = {name: known[name] for name in wanted if name in known}
    return {**shares, "mean of the others": fmean(others)} if others else shares


def _grid(
    title: str,
    runs: Sequence[RunRecord],
    figures: Callable[[RunRecord], Mapping[str, float]],
    worst: bool = False,
) -> Table:
    """Return a table of what `figures` gives, by column, of each run; a row is a poison.

    Args:
        title: What the figures are.
        runs: Runs of one data set, preset and net.
        figures: From a run to the figure in each column it has a part in.
        worst: Whether a last column has the largest mean of the row, which is the worst for a protection.
    """
    cells: dict[str, dict[str, list[float]]] = {}
    for one in sorted(runs, key=lambda one: _row(one.arm.poison)):
        for column, figure in figures(one).items():
            cells.setdefault(one.arm.poison, {}).setdefault(column, []).append(figure)
    columns = list(dict.fromkeys(column for one in runs for column in figures(one)))
    usual = max((len(values) for row in cells.values() for values in row.values()), default=0)
    rows = []
    for poison, row in cells.items():
        known = [Spread.of(row[column]) if column in row else None for column in columns]
        if worst and len(columns) > 1:  # of a row that is not whole yet, nobody knows the worst
            known.append(max(filter(None, known), key=lambda one: one.mean) if all(known) else None)
        rows.append((shown(poison), *(cell(one, usual) for one in known)))
    more = ["worst"] if worst and len(columns) > 1 else []
    return Table(title, ("training images", *map(shown, columns), *more), tuple(rows))


def cell(spread: Spread | None, usual: int) -> str:
    """Return mean ± standard deviation as a cell of a table; `usual` is how many measurements others have."""
    if spread is None:
        return NOTHING
    few = f" (n={spread.n})" if spread.n < usual else ""
    return f"{spread.mean:.1f}{few}" if spread.std is None else f"{spread.mean:.1f} ± {spread.std:.1f}{few}"


def csv_lines(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return a line a run; an empty field is a figure that was not measured."""
    attacks = dict.fromkeys(name for one in records for name in one.robust)
    validated = _VALIDATED if any(one.n_validation for one in records) else ()
    return [
        {
            **asdict(one.arm),
            **{name: getattr(one, name) for name in _PLAIN},
            "epochs": len(one.test_accuracies),
            **{name: getattr(one, name) for name in validated},
            **{name: one.robust.get(name, "") for name in attacks},
            "recalls": json.dumps(dict(zip(one.classes, one.recalls, strict=False))),
            "versions": json.dumps(one.versions),
            "warnings": "; ".join(one.warnings),
        }
        for one in records
    ]


def _series(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
