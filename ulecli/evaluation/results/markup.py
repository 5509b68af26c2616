"""Tables as plain text, Markdown and LaTeX: what is written how, whatever it says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

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


def as_text(blocks: Sequence[Block], closing: Sequence[str], encoding: str) -> str:
    """Write tables as aligned columns that a stream of this encoding can hold."""
    parts = []
    for conditions, tables in blocks:
        parts += [conditions, *(_aligned(table, encoding) for table in tables)]
    return "\n\n".join(_held(part, encoding) for part in [*parts, *closing])


def _aligned(table: Table, encoding: str) -> str:
    lines = [[_held(cell, encoding) for cell in row] for row in (table.headers, *table.rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    told = [table.title]
    for first, *rest in lines:
        cells = [" " * (width - _width(cell)) + cell for cell, width in zip(rest, widths[1:], strict=True)]
        told.append("  ".join([first + " " * (widths[0] - _width(first)), *cells]))
    told.insert(2, "  ".join("-" * width for width in widths))
    return "\n".join(told)


def _held(text: str, encoding: str) -> str:
    """Replace what an encoding can't hold: ± by +/-, anything else by its escape."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("±", "+/-").encode(encoding, "backslashreplace").decode(encoding)
    return text


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def as_markdown(blocks: Sequence[Block], closing: Sequence[str]) -> str:
    """Write tables as GitHub-flavoured Markdown."""
    parts = []
    for conditions, tables in blocks:
        parts.append(_markdown(conditions))
        for table in tables:
            lines = [table.headers, ("---", *["---:"] * (len(table.headers) - 1)), *table.rows]
            rows = [[*row] if row is lines[1] else [_markdown(cell) for cell in row] for row in lines]
            parts += [f"**{_markdown(table.title)}**", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    return "\n\n".join([*parts, *map(_markdown, closing)])


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|&~$])", r"\\\1", text)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
}


def as_latex(blocks: Sequence[Block], closing: Sequence[str]) -> str:
    r"""Write tables for LaTeX, each with its conditions in its caption; they need `\usepackage{booktabs}`."""
    parts = [r"% \usepackage{booktabs}"]
    for conditions, tables in blocks:
        parts += [_latex_table(table, conditions) for table in tables]
    return "\n\n".join([*parts, *(f"% {line}" for line in closing)])


def _latex_table(table: Table, conditions: str) -> str:
    head, *rows = [" & ".join(map(_latex, row)) + r" \\" for row in (table.headers, *table.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_latex(table.title)}. {_latex(conditions)}.}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.headers) - 1)}}}",
            r"    \toprule",
            f"    {head}",
            r"    \midrule",
            *(f"    {row}" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
