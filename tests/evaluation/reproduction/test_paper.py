from __future__ import annotations

import pytest

from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.reproduction.paper import CLEAN, SHARE, TABLES

# Read from the printed tables one by one; the count is that of all figures in a table.
PRINTED = {
    "table1": (10, {("Clean", "w/o"): 94.58, ("ULEOs", "Mixup"): 51.01, ("ULEOs", "Gray"): 90.06}),
    "table2": (10, {("ULEO-Grays", "w/o Gray"): 43.34, ("ULEO-GrayAugs", "w/ Gray"): 24.98}),
    "table3": (18, {("DN-121", "RN-18, gray"): 30.01, ("VN-11", "DN-121"): 14.28, ("RN-18", "VN-11"): 33.07}),
    "table4": (14, {("5% alone", "Clean"): 63.89, ("5% + 30%, gray", "ULEO-GrayAugs"): -15.84}),
    "table5": (6, {("Clean", "w/ Gray"): 58.18, ("ULEOs, class-wise", "w/o Gray"): 4.88}),
    "table6": (8, {("Clean", "MLP"): 48.66, ("ULEOs of an MLP", "VN-11"): 81.88}),
    "table7": (9, {("Clean", "PGD"): 46.59, ("ULEOs", "FGSM"): 52.42, ("ULEO-GrayAugs", "Clean"): 84.38}),
    "table8": (8, {("ULEOs", "BDR-2"): 47.10, ("ULEOs", "BDR-6"): 21.39, ("Clean", "BDR-4"): 93.98}),
    "table9": (14, {("10% + 10%, gray", "ULEOs"): -0.05, ("10% alone, gray", "Clean"): 74.23}),
    "figure3": (0, {}),
    "figure4": (0, {}),
    "figure6": (0, {}),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_figures_are_those_that_the_paper_prints(name: str) -> None:
    count, some = PRINTED[name]
    cells = {(cell.row, cell.column): cell for cell in TABLES[name].cells}
    assert len(cells) == len(TABLES[name].cells)
    assert sum(cell.paper is not None for cell in cells.values()) == count
    assert {place: cells[place].paper for place in some} == some


def test_the_spread_is_that_of_table_2() -> None:
    spreads = {(cell.row, cell.column): cell.spread for cell in TABLES["table2"].cells if cell.spread}
    assert spreads["ULEOs", "w/o Gray"] == 4.41 and spreads["ULEO-Grays", "w/o Gray"] == 11.49
    assert spreads["ULEO-GrayAugs", "w/ Gray"] == 5.84 and len(spreads) == 8
    assert not any(cell.spread for name, table in TABLES.items() if name != "table2" for cell in table.cells)


def test_differences_are_from_as_much_clean_data() -> None:
    for cell in (cell for table in TABLES.values() for cell in table.cells):
        training, beside = cell.training, cell.beside
        if beside is None:
            assert training.mix is None or training.treatment in (CLEAN, SHARE)
        else:
            assert beside.treatment == CLEAN and training.treatment not in (CLEAN, SHARE)
            assert (beside.exploiter, beside.mix) == (training.exploiter, training.mix)


def test_every_exploiter_is_one() -> None:
    names = {cell.training.exploiter for table in TABLES.values() for cell in table.cells}
    assert {find_exploiter(name).name for name in names} == names
