"""Tables and figures with the conditions that they hold under."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timing import conditions

Row = dict[str, Any]
"""One line of figures."""


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up in plain text as well."""
    lines = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def write_json(path: Path, figures: Mapping[str, Any], *packages: str) -> None:
    """Write figures with the conditions that they hold under."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reported = {"conditions": conditions(*packages), **figures}
    path.write_text(json.dumps(reported, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
