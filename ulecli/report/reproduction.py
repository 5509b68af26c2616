"""The page of a reproduction: the paper's tables with our figures, curves and galleries, in one file.

What is on it is made here, and how it looks is in `reproduction.html.jinja`, whose values are escaped by
jinja2. It has no scripts and asks nobody for anything.
"""

from __future__ import annotations

import base64
import platform
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ulecli import __version__
from ulecli.errors import shown
from ulecli.evaluation.reproduction.comparison import (
    FAR,
    Compared,
    compared,
    methods,
    other_data,
    reasons,
    said_of,
    table_name,
)
from ulecli.evaluation.reproduction.paper import PaperTable
from ulecli.evaluation.reproduction.pictures import draw_curves, draw_galleries
from ulecli.evaluation.reproduction.plan import Group
from ulecli.evaluation.reproduction.running import Reproduction
from ulecli.evaluation.results.tables import remarks
from ulecli.system.atomic import replacing
from ulecli.system.cores import usable_cores
from ulecli.system.writing import writing_to

_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class _Grid:
    """A table as the paper lays it out: a cell for each row and column, None where the paper has none."""

    name: str
    title: str
    conditions: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Compared | None]]]
    curves: str


@dataclass(frozen=True)
class _Shown:
    name: str
    address: str


def write_reproduction(done: Reproduction, target: Path, *, seconds: float, when: datetime) -> None:
    """Draw the pictures of a reproduction and write its page.

    Args:
        done: What came out.
        target: The file.
        seconds: How long it took.
        when: It is made.

    Raises:
        TargetError: A file can't be written.
    """
    drawn = {one.name: _embedded(one.path) for one in draw_curves(done)}
    galleries = [_Shown(one.name, _embedded(one.path)) for one in draw_galleries(done)]
    text = page(done, drawn, galleries, seconds=seconds, when=when)
    with writing_to(target), replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def page(
    done: Reproduction,
    drawn: dict[str, str],
    galleries: Sequence[_Shown],
    *,
    seconds: float,
    when: datetime,
) -> str:
    """Return the page as HTML.

    Args:
        done: What came out.
        drawn: The address of the learning curves of each figure.
        galleries: Of the defenders.
        seconds: How long it took.
        when: It is made.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = lambda words: shown(str(words))
    template = environment.from_string(
        (files("ulecli.report") / "reproduction.html.jinja").read_text("utf-8")
    )
    grids = [_grid(table, done, drawn) for table in done.plan.asked.chosen]
    cells = [cell for grid in grids for _, row in grid.rows for cell in row if cell is not None]
    return template.render(
        grids=grids,
        galleries=galleries,
        measured=sum(one.ours is not None for one in cells),
        cells=len(cells),
        far=sum(one.is_far for one in cells),
        limit=FAR,
        lacking=reasons(done),
        warnings=[*remarks(done.all_records), *done.notes],
        trainings=len(done.all_records),
        machine=list(_machine(done, seconds)),
        methods=methods(done.plan),
        remark=other_data(done.plan),
        groups=[(group.title, _command(group)) for group in done.plan.groups],
        asked=done.plan.asked,
        version=__version__,
        when=when,
    )


def _grid(table: PaperTable, done: Reproduction, drawn: dict[str, str]) -> _Grid:
    found = compared(table, done)
    columns = list(dict.fromkeys(one.cell.column for one in found))
    placed = {(one.cell.row, one.cell.column): one for one in found}
    rows = [
        (row, [placed.get((row, column)) for column in columns])
        for row in dict.fromkeys(one.cell.row for one in found)
    ]
    return _Grid(
        table_name(table), table.title, said_of(table, done), columns, rows, drawn.get(table.name, "")
    )


def _embedded(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_KINDS[path.suffix]};base64,{content}"


def _machine(done: Reproduction, seconds: float) -> Iterator[tuple[str, str]]:
    """Yield what the figures were made with and on."""
    asked, records = done.plan.asked, done.all_records
    yield "preset", asked.preset
    yield "seeds", ", ".join(map(str, asked.seeds))
    yield "machine", f"{_processor()}, {usable_cores()} cores for this run; {platform.system()}"
    yield "device", "; ".join(dict.fromkeys(one.device for one in records)) or asked.device
    yield (
        "versions",
        ", ".join(
            dict.fromkeys(f"{name} {number}" for one in records for name, number in one.versions.items())
        ),
    )
    yield "time in trainings", f"{sum(one.seconds for one in records) / 3600:.2f} h, all runs together"
    yield "time of this run", f"{seconds / 3600:.2f} h"


def _processor() -> str:
    """Return the name of the processor as Linux tells it, else as Python does."""
    known = Path("/proc/cpuinfo")
    if known.is_file():
        for line in known.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, words = line.partition(":")
            if name.strip() == "model name":
                return words.strip()
    return platform.processor() or platform.machine()


def _command(group: Group) -> str:
    """Return the command that trains a group alone."""
    config = group.config
    options = {
        "--exploiter": ",".join(config.exploiter_names),
        "--defender": ",".join(config.defender_names),
        "--arch": ",".join(config.arch_names),
        "--preset": config.preset,
        "--seeds": ",".join(map(str, config.seeds)),
        "--dataset": config.dataset,
        "--size": str(config.size or ""),
        "--mix": "+".join(map(str, config.mix or ())),
        "--train-images": str(config.train_images or ""),
        "--eps": str(config.epsilon),
        "--device": config.device,
    }
    given = [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join(["ulecli", "evaluate", *given, *([] if config.controls else ["--no-controls"])])
