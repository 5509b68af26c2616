"""Results of an evaluation: records, the journal that keeps them, tables, a sentence and figures.

Entering this room costs nothing: numpy, Pillow and matplotlib are imported by the figures alone, when drawn.
"""

from ulecli.results.journal import Journal
from ulecli.results.plots import curves, gallery
from ulecli.results.records import (
    CLEAN,
    NOISE,
    SCHEMA,
    Arm,
    Cell,
    RunRecord,
    Spread,
    Summary,
    by_cell,
    run_key,
)
from ulecli.results.tables import Format, render
from ulecli.results.verdict import sentence

__all__ = [
    "CLEAN",
    "NOISE",
    "SCHEMA",
    "Arm",
    "Cell",
    "Format",
    "Journal",
    "RunRecord",
    "Spread",
    "Summary",
    "by_cell",
    "curves",
    "gallery",
    "render",
    "run_key",
    "sentence",
]
