"""Results as plain text, Markdown, LaTeX, CSV and JSON: what is written how, whatever it says."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Block = tuple[str, Sequence["Table"]]
"""A line that says under what conditions, and the tables that were measured under them."""


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the rows.

    Attributes:
        title: What its figures are.
        headers: One for each column.
        rows: As many cells each.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


def written(
    form: Format | str,
    *,
    document: Callable[[], Mapping[str, Any]],
    lines: Callable[[], Sequence[Mapping[str, Any]]],
    blocks: Callable[[], Sequence[Block]],
    closing: Sequence[str],
    encoding: str,
) -> str:
    """Write results in one of five formats; only what a format needs is asked for.

    Args:
        form: How.
        document: Makes the object of JSON.
        lines: Makes the lines of CSV.
        blocks: Makes the tables of the others.
        closing: What stands below the tables.
        encoding: Of the stream that a `table` goes to; what it can't hold is replaced.

    Returns:
        Text without a newline at its end.

    Raises:
        ValueError: There is no such format.
    """
    match Format(form):
        case Format.JSON:
            return json.dumps(document(), indent=2, allow_nan=False)
        case Format.CSV:
            return as_csv(lines())
        case Format.MARKDOWN:
            return as_markdown(blocks(), closing)
        case Format.LATEX:
            return as_latex(blocks(), closing)
        case Format.TABLE:
            return as_text(blocks(), closing, encoding)


def _laid_out(table: Table, layout: str, written: Callable[[str], str] = str) -> str:
    """Return a table as `tabulate` lays it out, names to the left and figures to the right."""
    from tabulate import tabulate

    headers, *rows = [[written(cell) for cell in row] for row in (table.headers, *table.rows)]
    sides = ("left", *["right"] * (len(headers) - 1))
    text: str = tabulate(rows, headers, tablefmt=layout, colalign=sides, disable_numparse=True)
    return text


def as_text(blocks: Sequence[Block], closing: Sequence[str], encoding: str) -> str:
    """Write tables as aligned columns that a stream of this encoding can hold."""

    def held(text: str) -> str:
        return _held(text, encoding)

    parts = []
    for conditions, tables in blocks:
        parts += [
            held(conditions),
            *(f"{held(one.title)}\n{_laid_out(one, 'simple', held)}" for one in tables),
        ]
    return "\n\n".join([*parts, *map(held, closing)])


def _held(text: str, encoding: str) -> str:
    """Replace what an encoding can't hold: ± by +/-, anything else by its escape."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("±", "+/-").encode(encoding, "backslashreplace").decode(encoding)
    return text


def as_markdown(blocks: Sequence[Block], closing: Sequence[str]) -> str:
    """Write tables as GitHub-flavoured Markdown."""
    parts = []
    for conditions, tables in blocks:
        parts.append(_markdown(conditions))
        for table in tables:
            parts += [f"**{_markdown(table.title)}**", _laid_out(table, "pipe", _markdown)]
    return "\n\n".join([*parts, *map(_markdown, closing)])


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|&~$])", r"\\\1", text)


_SYMBOLS = str.maketrans({"|": r"\textbar{}", '"': "''", "±": r"$\pm$"})
"""What LaTeX's usual font would show as something else, and `tabulate` leaves alone; its layout has none."""


def as_latex(blocks: Sequence[Block], closing: Sequence[str]) -> str:
    r"""Write tables for LaTeX, each with its conditions in its caption; they need `\usepackage{booktabs}`."""
    parts = [r"% \usepackage{booktabs}"]
    for conditions, tables in blocks:
        parts += [_latex_table(table, conditions) for table in tables]
    return "\n\n".join([*parts, *(f"% {line}" for line in closing)])


def _latex_table(table: Table, conditions: str) -> str:
    body = [
        r"\centering",
        rf"\caption{{{_latex(table.title)}. {_latex(conditions)}.}}",
        _laid_out(table, "latex_booktabs").translate(_SYMBOLS),
    ]
    return "\n".join([r"\begin{table}", textwrap.indent("\n".join(body), "  "), r"\end{table}"])


def _latex(text: str) -> str:
    from tabulate import LATEX_ESCAPE_RULES

    return "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in text).translate(_SYMBOLS)


def as_csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write lines of figures by name, under a line of names, as CSV without a newline at its end."""
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0] if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().removesuffix("\n")
