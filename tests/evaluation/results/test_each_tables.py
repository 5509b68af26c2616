from __future__ import annotations

import csv
import io
import json

import pytest
from helpers.results_of import run

from ulecli.evaluation.results.each_tables import render_each
from ulecli.evaluation.results.record import RunRecord


def runs(**other: object) -> list[RunRecord]:
    known = {"classes": ("ada", "b_o"), "n_test": 900, **other}
    seen = {"shape": [3, 64, 64], "kind": "made so", "ssimulacra2": 61.25}
    return [
        run("clean", recalls=(90, 70), **known),
        run("noise-mean ada", recalls=(88, 71), audit=None, **known),
        run("band-24-56 ada", recalls=(50, 72), audit=seen, **known),
        run("protected ada", recalls=(20, 73), audit={"ssimulacra2": 61}, **known),
        run("band-24-56 b_o", recalls=(90, 60), audit=seen, warnings=("look out",), **known),
        run("protected b_o", recalls=(93, 40), audit={"ssimulacra2": 60}, **known),
    ]


def cells(text: str, title: str) -> list[list[str]]:
    lines = text[text.index(title) :].split("\n\n")[0].splitlines()[3:]
    return [[part.strip() for part in line.split("  ") if part.strip()] for line in lines]


def test_a_table_of_what_was_done_and_one_of_the_classes() -> None:
    text = render_each(runs(), "table")
    assert cells(text, "Recall of the one class") == [
        ["noise-mean", "88.0", "88.0 (ada)", "90.0", "98 %", "+1.0", "-"],
        ["band-24-56", "55.0", "60.0 (b_o)", "80.0", "69 %", "+1.0", "61.2"],
        ["protected", "30.0", "40.0 (b_o)", "80.0", "38 %", "+3.0", "60.5"],
    ]
    assert cells(text, "Recall of each class") == [
        ["ada", "90.0", "88.0", "50.0", "20.0"],
        ["b_o", "70.0", "-", "60.0", "40.0"],
    ]
    assert "900 test images of 64 x 64" in text and "2 classes" in text and "seed 0" in text
    assert text.count("band-24-56: made so") == 1
    assert "warning: look out (band-24-56/standard/tiny)" in text
    assert "below band noise that is as plain to see (band-24-56 55.0 %)." in text


def test_seeds_are_spread_and_nets_have_their_blocks() -> None:
    text = render_each([*runs(), *runs(seed=1), *runs(arch="large")], "table")
    assert "30.0 ± 0.0" in text and text.count("Recall of the one class") == 2
    assert "net tiny" in text and "net large" in text


@pytest.mark.parametrize(("form", "words"), [("markdown", "| protected "), ("latex", r"protected & 30.0 &")])
def test_other_layouts_hold_the_same(form: str, words: str) -> None:
    text = render_each(runs(), form)
    assert words in " ".join(text.split(" ")).replace("  ", " ") or words.replace(" ", "") in text.replace(
        " ", ""
    )
    assert r"b\_o" in text


def test_json_has_the_figures_beside_every_run() -> None:
    document = json.loads(render_each(runs(), "json"))
    assert document["type"] == "evaluation" and len(document["arms"]) == 6
    noise, band, protected = document["each"]
    assert [noise["treatment"], band["treatment"], protected["treatment"]] == [
        "noise-mean",
        "band-24-56",
        "protected",
    ]
    assert "below_band_noise" not in band and protected["below_band_noise"] is True
    assert protected["may_be_chance"] is False
    assert protected["recall"] == {"mean": 30, "std": None} and protected["clean_recall"]["mean"] == 80
    assert protected["worst"] == {"identity": "b_o", "recall": 40}
    assert protected["identities"]["ada"]["recall"]["mean"] == 20
    assert (protected["ssimulacra2"], band["ssimulacra2"]) == (60.5, 61.25)
    assert RunRecord.from_json(document["arms"][0]["runs"][0]) == runs()[0]
    assert document["sentence"].startswith("Of the one class that is protected")


def test_csv_has_a_line_a_run_with_whose_turn_it_was() -> None:
    lines = list(csv.DictReader(io.StringIO(render_each(runs(), "csv"))))
    assert [(one["treatment"], one["identity"], one["recall"]) for one in lines] == [
        ("clean", "", ""),
        ("noise-mean", "ada", "88.0"),
        ("band-24-56", "ada", "50.0"),
        ("protected", "ada", "20.0"),
        ("band-24-56", "b_o", "60.0"),
        ("protected", "b_o", "40.0"),
    ]
    assert (lines[3]["clean_recall"], lines[3]["others_change"], lines[3]["ssimulacra2"]) == (
        "90.0",
        "3.0",
        "61",
    )
    assert lines[3]["poison"] == "protected ada" and json.loads(lines[3]["recalls"]) == {"ada": 20, "b_o": 73}


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="word"):
        render_each(runs(), "word")
