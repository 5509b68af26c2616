from __future__ import annotations

import numpy as np
import pytest
from helpers.results_of import run

from ulecli.evaluation.results.summary import Spread, Summary, by_cell


@pytest.mark.parametrize("values", [(3.0, 5.0), (80.1, 82.4, 79.9), (1.0,) * 4])
def test_spread_is_numpys(values):
    spread = Spread.of(values)
    assert (spread.n, spread.mean) == (len(values), pytest.approx(np.mean(values)))
    assert spread.std == pytest.approx(np.std(values, ddof=1))


def test_one_run_alone_has_no_deviation():
    assert Spread.of([7.0]) == Spread(1, 7.0, None)


def test_summary_of_a_cell():
    runs = [run(last=80, seed=0), run(last=84, seed=1, test_accuracies=(90, 10, 84))]
    summary = Summary.of(runs)
    assert (summary.n, summary.cell) == (2, ("shapes", "clean", "standard", "tiny", "quick"))
    assert summary.last == Spread(2, 82, pytest.approx(np.std([80, 84], ddof=1)))
    assert summary.peak.mean == 85
    with pytest.raises(ValueError, match="one cell, not of 2"):
        Summary.of([run(), run("noise")])


def test_cells_keep_their_order():
    runs = [run("b", seed=0), run("a", seed=0), run("b", seed=1)]
    assert [(cell.poison, len(found)) for cell, found in by_cell(runs).items()] == [("b", 2), ("a", 1)]
