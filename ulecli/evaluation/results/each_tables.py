"""Tables of runs in which every class was changed alone in turn; nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ulecli.errors import shown
from ulecli.evaluation.results.each import (
    Row,
    Setting,
    by_treatment,
    is_below,
    is_chance,
    rows,
    setting_of,
    turns,
    verdicts,
)
from ulecli.evaluation.results.markup import Block, Format, Table, written
from ulecli.evaluation.results.record import BANDS, PROTECTED, RunRecord
from ulecli.evaluation.results.summary import Spread
from ulecli.evaluation.results.tables import (
    NOTHING,
    cell,
    conditions,
    csv_lines,
    document,
    made_how,
    remarks,
    spread_figures,
)


def render_each(records: Sequence[RunRecord], form: Format | str, *, encoding: str = "utf-8") -> str:
    """Write records in one of five formats; see `ulecli.evaluation.results.tables.render`.

    For each exploiter there is a table whose rows are what was done to the one class, the controls first,
    with mean and worst over the classes in turn, and one that has each class's recall. `csv` has one line a
    run, `json` the object of `render` with these figures in `each`.

    Args:
        records: What to write, at least one.
        form: How.
        encoding: Of the stream that a `table` goes to; what it can't hold is replaced.

    Returns:
        Text without a newline at its end.

    Raises:
        ValueError: There is no such format.
    """
    found = rows(turns(records))
    renamed = by_treatment(records)
    closing = [*verdicts(found), *made_how(renamed), *remarks(renamed)]
    return written(
        form,
        document=lambda: each_document(records),
        lines=lambda: _csv_lines(records),
        blocks=lambda: _blocks(renamed, found),
        closing=closing,
        encoding=encoding,
    )


def each_document(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Return records as one object for JSON."""
    found = rows(turns(records))
    return {
        **document(records),
        "sentence": " ".join(verdicts(found)),
        "each": [_entry(row, found) for row in found],
    }


def _entry(row: Row, found: Sequence[Row]) -> dict[str, Any]:
    bands = [one for one in found if one.setting == row.setting and one.treatment in BANDS]
    return {
        **row.setting._asdict(),
        "treatment": row.treatment,
        "recall": spread_figures(row.recall),
        "clean_recall": spread_figures(row.clean) if row.clean else None,
        "kept_percent": row.kept,
        "worst": {"identity": row.worst, "recall": row.recalls[row.worst].mean},
        "others_change": spread_figures(row.others) if row.others else None,
        "ssimulacra2": row.score,
        "share": row.share,
        **(_comparison(row, bands) if row.treatment == PROTECTED else {}),
        "identities": {
            name: {
                "recall": spread_figures(spread),
                "clean_recall": spread_figures(row.cleans[name]) if name in row.cleans else None,
            }
            for name, spread in row.recalls.items()
        },
    }


def _comparison(row: Row, bands: Sequence[Row]) -> dict[str, bool | None]:
    return {
        "below_band_noise": is_below(row, bands),
        "may_be_chance": is_chance(row, bands) if bands else None,
    }


def _blocks(renamed: Sequence[RunRecord], found: Sequence[Row]) -> list[Block]:
    """Return for every data set, preset and net what was measured, and two tables for each exploiter."""
    groups: dict[tuple[str, str, str], dict[Setting, list[RunRecord]]] = {}
    for one in renamed:
        group = groups.setdefault((one.arm.dataset, one.arm.preset, one.arm.arch), {})
        group.setdefault(setting_of(one), []).append(one)
    return [
        (
            conditions([one for runs in group.values() for one in runs]),
            [
                table
                for setting in group
                if (own := [row for row in found if row.setting == setting])
                for table in (_summary(setting, own), _classes(setting, own))
            ],
        )
        for group in groups.values()
    ]


def _summary(setting: Setting, own: Sequence[Row]) -> Table:
    usual = max(row.recall.n for row in own)
    headers = (
        "photos of the one class",
        "recall",
        "worst",
        "clean recall",
        "left of it",
        "others",
        "SSIMULACRA2",
    )
    return Table(
        f"Recall of the one class whose training photos are changed, each in its turn, exploiter "
        f"{shown(setting.exploiter)}, %; change of the others in points",
        headers,
        tuple(
            (
                row.treatment,
                cell(row.recall, usual),
                f"{row.recalls[row.worst].mean:.1f} ({shown(row.worst)})",
                cell(row.clean, usual),
                NOTHING if row.kept is None else f"{row.kept:.0f} %",
                _signed(row.others),
                NOTHING if row.score is None else f"{row.score:.1f}",
            )
            for row in own
        ),
    )


def _classes(setting: Setting, own: Sequence[Row]) -> Table:
    """Return the recalls of each class: one line a class, one column for what was done to it."""
    usual = max(spread.n for row in own for spread in row.recalls.values())
    cleans = {name: spread for row in own for name, spread in row.cleans.items()}
    names = dict.fromkeys(name for row in own for name in row.recalls)
    return Table(
        f"Recall of each class in its turn, exploiter {shown(setting.exploiter)}, %",
        ("class", "clean", *(row.treatment for row in own)),
        tuple(
            (shown(name), cell(cleans.get(name), usual), *(cell(row.recalls.get(name), usual) for row in own))
            for name in names
        ),
    )


def _signed(spread: Spread | None) -> str:
    return NOTHING if spread is None else f"{spread.mean:+.1f}"


def _csv_lines(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return a line a run; an empty field is a figure that was not measured."""
    found = {(one.setting, one.seed, one.treatment, one.identity): one for one in turns(records)}
    lines = []
    for line, record, renamed in zip(csv_lines(records), records, by_treatment(records), strict=True):
        treatment = renamed.arm.poison
        who = record.arm.poison.removeprefix(treatment).strip()
        one = found.get((setting_of(record), record.arm.seed, treatment, who))
        figures = (one.recall, one.clean, one.others, one.score) if one else (None,) * 4
        names = ("recall", "clean_recall", "others_change", "ssimulacra2")
        lines.append(
            {
                **line,
                "treatment": treatment,
                "identity": who,
                **{name: "" if value is None else value for name, value in zip(names, figures, strict=True)},
            }
        )
    return lines
