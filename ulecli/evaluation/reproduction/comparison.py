"""Our figures beside the paper's, as tables in every format that results are written in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ulecli.errors import shown
from ulecli.evaluation.reproduction.paper import PaperCell, PaperTable, Training
from ulecli.evaluation.reproduction.plan import Plan
from ulecli.evaluation.reproduction.running import Reproduction
from ulecli.evaluation.results.markup import Block, Format, Table, written
from ulecli.evaluation.results.record import RunRecord
from ulecli.evaluation.results.summary import Spread
from ulecli.evaluation.results.tables import NOTHING, conditions, remarks
from ulecli.evaluation.results.tables import cell as written_cell

SCHEMA = 1
"""Version of the JSON object; it grows when a field changes its meaning or goes."""

FAR = 5.0
"""Points from which on a difference from the paper is marked."""


@dataclass(frozen=True)
class Compared:
    """A figure of the paper and ours.

    Attributes:
        cell: The paper's.
        values: Ours by seed, in percent or points; empty if there is none.
        why: Why there is none, or none for some seed; "" if all are there.
    """

    cell: PaperCell
    values: Mapping[int, float]
    why: str

    @property
    def ours(self) -> Spread | None:
        """Mean and standard deviation of ours; None if there is none."""
        return Spread.of(self.values.values()) if self.values else None

    @property
    def difference(self) -> float | None:
        """Our mean less the paper's, in points; None where one of them lacks."""
        return None if self.ours is None or self.cell.paper is None else self.ours.mean - self.cell.paper

    @property
    def is_far(self) -> bool:
        """Whether ours is so far from the paper's that it wants an explanation."""
        return self.difference is not None and abs(self.difference) > FAR


def compared(table: PaperTable, done: Reproduction) -> tuple[Compared, ...]:
    """Return every cell of a table with our figure."""
    return tuple(_compared(cell, done) for cell in table.cells)


def _compared(cell: PaperCell, done: Reproduction) -> Compared:
    values = {one.arm.seed: _figure(one, cell.measure) for one in done.records.get(cell.training, ())}
    trainings = [cell.training]
    if cell.beside is not None:
        beside = {one.arm.seed: _figure(one, cell.measure) for one in done.records.get(cell.beside, ())}
        values = {seed: value - beside[seed] for seed, value in values.items() if seed in beside}
        trainings.append(cell.beside)
    lacking = [one for one in trainings if one not in done.records or one in done.failed]
    return Compared(cell, values, done.why(lacking[0]) if lacking else "")


def _figure(record: RunRecord, measure: str) -> float:
    known = {"last": record.last, "peak": record.peak, **record.robust}
    return float(known[measure])


def render_reproduction(done: Reproduction, form: Format | str, *, encoding: str = "utf-8") -> str:
    """Write our figures beside the paper's.

    Args:
        done: What came out.
        form: How.
        encoding: Of the stream that plain text goes to.

    Raises:
        ValueError: There is no such format.
    """
    return written(
        form,
        document=lambda: _document(done),
        lines=lambda: list(_lines(done)),
        blocks=lambda: blocks(done),
        closing=list(filter(None, [*_closing(done), *remarks(done.all_records)])),
        encoding=encoding,
    )


def _closing(done: Reproduction) -> list[str]:
    return [f"The paper's methods here: {methods(done.plan)}", other_data(done.plan), *reasons(done)]


def methods(plan: Plan) -> str:
    """Say which defender stands for each of the paper's methods that were asked for."""
    found = dict.fromkeys(
        f"{group.trainings[0].treatment.method} by {group.config.defender_names[0]}"
        for group in plan.groups
        if group.config.defenders
    )
    return ", ".join(found) or "none"


def other_data(plan: Plan) -> str:
    """Say that the data are not the paper's; "" where they are."""
    asked, found = plan.asked, []
    if asked.train_images:
        found.append(f"{asked.train_images:,} training images instead of all")
    if asked.folder:
        found.append(f"{shown(asked.folder)} instead of ImageNet")
    elif asked.dataset:
        found.append(f"{asked.dataset} instead of CIFAR-10")
    return f"On {' and '.join(found)}: accuracies can't be the paper's" if found else ""


def blocks(done: Reproduction) -> list[Block]:
    """Return each table with the conditions of its figures, in the paper's order."""
    return [
        (f"{table_name(table)}. {table.title}. {said_of(table, done)}", [_table(table, done)])
        for table in done.plan.asked.chosen
    ]


def said_of(table: PaperTable, done: Reproduction) -> str:
    """Say what the figures of a table were measured on and with, in one line for each net."""
    nets: dict[str, list[RunRecord]] = {}
    for training in dict.fromkeys(cell.training for cell in table.cells):
        for record in done.records.get(training, ()):
            nets.setdefault(record.arm.arch, []).append(record)
    said = [conditions(records) for records in nets.values()]
    return "; ".join(said) or "Nothing of it was measured"


def table_name(table: PaperTable) -> str:
    """Return what the paper calls a table: "Table 2"."""
    return f"{table.name[:-1].capitalize()} {table.name[-1]}"


def _table(table: PaperTable, done: Reproduction) -> Table:
    found = compared(table, done)
    several = max((len(one.values) for one in found), default=0)
    rows = tuple(
        (
            one.cell.row,
            one.cell.column,
            written_cell(one.ours, several),
            _paper(one.cell),
            NOTHING if one.difference is None else f"{one.difference:+.1f}",
        )
        for one in found
    )
    what = "differences from as much clean data in points" if _has_differences(table) else "last epoch"
    title = f"{table_name(table)}, ours and the paper's: test accuracy in %, {what}"
    return Table(title, ("training images", "exploiter", "ours", "paper", "difference"), rows)


def _has_differences(table: PaperTable) -> bool:
    return any(cell.beside for cell in table.cells)


def _paper(cell: PaperCell) -> str:
    if cell.paper is None:
        return NOTHING
    return f"{cell.paper:.2f}" if cell.spread is None else f"{cell.paper:.2f} ± {cell.spread:.2f}"


def reasons(done: Reproduction) -> list[str]:
    """Say why cells have no figure of ours, or not of every seed, a line for each reason."""
    lacking = {**done.plan.left_out, **done.failed}
    waiting = [one for one in done.plan.trainings if one not in done.records and one not in lacking]
    lacking |= {one: done.why(one) for one in waiting}
    return _by_reason(done.plan, lacking, done.failed)


def left_out(plan: Plan) -> list[str]:
    """Say which cells can't be had and why, a line for each reason."""
    return _by_reason(plan, plan.left_out, {})


def _by_reason(plan: Plan, why: Mapping[Training, str], failed: Mapping[Training, str]) -> list[str]:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for table in plan.asked.chosen:
        reasons = {cell: _first(why, cell) for cell in table.cells}
        whole = len(set(reasons.values())) == 1
        for cell, reason in reasons.items():
            if reason:
                lacks = {cell.training, cell.beside} & {*why}
                what = (
                    "failed" if lacks & {*failed} else "left out" if lacks & {*plan.left_out} else "not done"
                )
                name = table_name(table) if whole else f"{table_name(table)} {cell.row}/{cell.column}"
                found.setdefault((what, reason), {})[name] = None
    return [f"{what}: {', '.join(names)}: {shown(reason)}" for (what, reason), names in found.items()]


def _first(why: Mapping[Training, str], cell: PaperCell) -> str:
    """Return why a cell lacks a training, "" if it lacks none."""
    return why.get(cell.training) or (why.get(cell.beside, "") if cell.beside else "")


def _lines(done: Reproduction) -> Iterator[dict[str, Any]]:
    """Yield a line of CSV for each cell."""
    for table in done.plan.asked.chosen:
        for one in compared(table, done):
            ours = one.ours
            yield {
                "table": table.name,
                "training_images": one.cell.row,
                "exploiter": one.cell.column,
                "ours": "" if ours is None else ours.mean,
                "ours_std": "" if ours is None or ours.std is None else ours.std,
                "n": len(one.values),
                "paper": "" if one.cell.paper is None else one.cell.paper,
                "paper_std": "" if one.cell.spread is None else one.cell.spread,
                "difference": "" if one.difference is None else one.difference,
                "why": one.why,
            }


def _document(done: Reproduction) -> dict[str, Any]:
    asked = done.plan.asked
    return {
        "schema": SCHEMA,
        "preset": asked.preset,
        "seeds": list(asked.seeds),
        "interrupted": done.interrupted,
        "tables": [_described(table, done) for table in asked.chosen],
        "lacking": reasons(done),
        "warnings": remarks(done.all_records),
        "notes": list(done.notes),
    }


def _described(table: PaperTable, done: Reproduction) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "conditions": said_of(table, done),
        "cells": [
            {
                "training_images": one.cell.row,
                "exploiter": one.cell.column,
                "measure": one.cell.measure,
                "difference_from_clean": one.cell.beside is not None,
                "ours": {**asdict(one.ours), "by_seed": dict(one.values)} if one.ours else None,
                "paper": {"mean": one.cell.paper, "std": one.cell.spread},
                "difference": one.difference,
                "why": one.why,
            }
            for one in compared(table, done)
        ],
    }
