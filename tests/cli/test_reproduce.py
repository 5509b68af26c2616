"""`ulecli evaluate --reproduce`, on shapes and with presets of a moment."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.quick_methods import quick_methods, tiny  # noqa: F401

from ulecli.cli import main
from ulecli.errors import ExitCode
from ulecli.evaluation import task

Run = Callable[..., tuple[int, str, str]]

SHAPES = ("--dataset", "shapes", "--preset", "quick", "--device", "cpu", "--jobs", "1", "--threads", "1")


@pytest.fixture
def reproduce(quick_methods, monkeypatch, capsys, tmp_path) -> Run:  # noqa: F811
    """Return what runs `ulecli evaluate --reproduce` in an empty folder; its code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--reproduce", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_ours_stands_beside_the_papers(reproduce: Run) -> None:
    code, out, err = reproduce("table8,figure3", *SHAPES, "--seeds", "0,1", "--out", "o", "--format", "csv")
    assert code == 0, err
    lines = list(csv.DictReader(io.StringIO(out)))
    assert len(lines) == 8 + 12
    cells = {(one["table"], one["training_images"], one["exploiter"]): one for one in lines}
    squeezed = cells["table8", "ULEOs", "BDR-4"]
    assert (float(squeezed["paper"]), squeezed["paper_std"], squeezed["n"]) == (22.92, "", "2")
    assert float(squeezed["difference"]) == pytest.approx(float(squeezed["ours"]) - 22.92)
    ends, best = (cells["figure3", "Clean", name] for name in ("w/ Gray", "w/ Gray, best epoch"))
    assert float(best["ours"]) >= float(ends["ours"]) and ends["paper"] == ends["difference"] == ""
    lacking = cells["figure3", "AdvPois", "w/ Gray"]
    assert (lacking["ours"], lacking["n"]) == ("", "0")
    before = err.partition("group 1 of 2")[0]
    assert "left out: Figure 3 AdvPois/w/o Gray" in before
    assert lacking["why"] == "this ulecli has no defender 'nobody', which preset quick needs"
    # Clean and ULEOs by four exploiters and in gray.
    assert f"{2 * (5 + 5)} trainings in 2 groups with 2 seeds; by their first steps" in before
    assert "takes about" in before or "takes less than a minute" in before
    page = Path("o/report.html").read_text(encoding="utf-8")
    assert "22.92" in page and "ULEOs by noise" in page and "On shapes instead of CIFAR-10" in page
    assert "ulecli evaluate --reproduce table8,figure3 --preset quick --seeds 0,1 --dataset shapes" in page
    assert page.count("data:image/svg+xml") == page.count("data:image/png") == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page
    _, again, err = reproduce("table8", *SHAPES, "--seeds", "0,1", "--out", "o", "--format", "csv")
    assert again.splitlines() == [line for line in out.splitlines() if not line.startswith("figure3")]
    assert "16 of them are done already" in err


def test_what_fails_is_named_and_the_rest_goes_on(reproduce: Run, monkeypatch) -> None:
    train = task.train_exploiter

    def failing(images, test, protocol, measure, seed, **more):
        if measure.name == "bdr-4" and seed == 1 and len(images) == 60:
            raise RuntimeError("the device is on fire")
        return train(images, test, protocol, measure, seed, **more)

    monkeypatch.setattr(task, "train_exploiter", failing)
    command = ("table8", *SHAPES, "--seeds", "0,1", "--out", "o")
    code, out, err = reproduce(*command, "--format", "json")
    document = json.loads(out)
    (table,) = document["tables"]
    cells = {(one["training_images"], one["exploiter"]): one for one in table["cells"]}
    assert code == ExitCode.SOME_FAILED and "2 of 8 kinds of trainings failed" in err
    assert [n for n, one in cells.items() if one["ours"]["n"] == 1] == [
        ("Clean", "BDR-4"),
        ("ULEOs", "BDR-4"),
    ]
    assert all(
        "RuntimeError: the device is on fire" in cells[row, "BDR-4"]["why"] for row in ("Clean", "ULEOs")
    )
    assert document["lacking"] == [
        "failed: Table 8 Clean/BDR-4, Table 8 ULEOs/BDR-4: seed 1: RuntimeError: the device is on fire"
    ]
    monkeypatch.setattr(task, "train_exploiter", train)
    code, out, err = reproduce(*command, "--format", "json")
    assert code == 0 and "14 of them are done already" in err
    assert all(one["ours"]["n"] == 2 for one in json.loads(out)["tables"][0]["cells"])


MISTAKES = [
    (["table10", "--out", "o"], "no table or figure 'table10', only table1, table2"),
    (["figure4x", "--out", "o"], "did you mean figure4?"),
    ([",", "--out", "o"], "--reproduce needs a table or figure"),
    (["table2"], "--reproduce needs --out"),
    (["table2", "--out", "o", "--poison", "x.npy"], "leave --poison out"),
    (["table2", "--out", "o", "--defender", "cifar"], "leave --defender out"),
    (["table2", "--out", "o", "--exploiter", "standard,gray"], "leave --exploiter out"),
    (["table2", "--out", "o", "--arch", "vgg11"], "leave --arch out"),
    (["table4", "--out", "o", "--mix", "5+30"], "leave --mix out"),
    (["table2", "--out", "o", "--eps", "8"], "leave --eps out"),
    (["table7", "--out", "o", "--at-steps", "7"], "leave --at-steps out"),
    (["table2", "--out", "o", "--no-controls"], "leave --controls out"),
    (["table2", "--out", "o", "--audit"], "leave --audit out"),
    (["table2", "--out", "o", "--protected", "p"], "leave --protected out"),
    (["table2", "--out", "o", "--preset", "quik"], "did you mean quick?"),
    (["table2", "--out", "o", "--seeds", "a"], "--seeds 'a'"),
    (["table2", "--out", "o", "--seeds", ","], "one seed"),
    (["table2", "--out", "o", "--format", "word"], "no --format 'word'"),
    (["table5", "--out", "o"], "--dataset FOLDER"),
    (["table2", "--out", "o", "--dataset", "photos"], "a folder of photos is for table5"),
    (["table2", "--out", "o", "--dataset", "cifar1"], "did you mean cifar10?"),
    (["table4", "--out", "o", "--train-images", "30"], "leave out --train-images"),
    (["table2", "--out", "o", "--dataset", "shapes", "--train-images", "61"], "has 60"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(one) for one, _ in MISTAKES])
def test_what_can_not_be_is_refused_before_anything_runs(reproduce: Run, arguments, words) -> None:
    Path("photos").mkdir()
    code, out, err = reproduce(*arguments, "--device", "cpu")
    assert (code, out) == (ExitCode.USAGE, "")
    assert words in err.splitlines()[-1] and err.count("ulecli: error: ") == 1
    assert not list(Path().glob("o/*/results.jsonl")) or not Path("o/whole/results.jsonl").read_bytes()
