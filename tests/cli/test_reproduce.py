"""`ulecli evaluate --reproduce`, on shapes and with presets of a moment."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.tiny_runs import SMALL, TINY, tiny  # noqa: F401

import ulecli.evaluation.config
import ulecli.evaluation.run
from ulecli.cli import main
from ulecli.errors import ExitCode
from ulecli.evaluation import probes
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.reproduction import plan

SHAPES = ("--dataset", "shapes", "--preset", "quick", "--device", "cpu", "--jobs", "1", "--threads", "1")

QUICKLY = {
    **{"ULEOs": "noise", "ULEO-Augs": "noise-classwise", "ULEO-Grays": "cifar-linear"},
    **{"ULEO-GrayAugs": "cifar-mlp", "ULEOs of an MLP": "cifar-linear-classwise", "AdvPois": "nobody"},
}
"""Defenders that train no surrogate, in the place of the paper's methods; one of them does not exist."""


@pytest.fixture
def reproduce(tiny, monkeypatch, capsys, tmp_path):  # noqa: F811
    """Return what runs `ulecli evaluate --reproduce` in an empty folder; its code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    presets = dict.fromkeys(PRESETS, replace(TINY, small=replace(SMALL, least_steps=1)))  # 5 % are 3 images
    for module in (ulecli.evaluation.run, ulecli.evaluation.config):
        monkeypatch.setattr(module, "PRESETS", presets)
    monkeypatch.setattr(probes, "SECONDS", 0.0)
    monkeypatch.setattr(plan, "METHODS", dict.fromkeys(PRESETS, QUICKLY))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--reproduce", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_ours_stands_beside_the_papers(reproduce) -> None:
    code, out, err = reproduce(
        "table2,table4,figure4", *SHAPES, "--seeds", "0,1", "--out", "o", "--format", "csv"
    )
    assert code == 0, err
    lines = list(csv.DictReader(io.StringIO(out)))
    assert {line["table"] for line in lines} == {"table2", "table4", "figure4"}
    grays = next(
        one for one in lines if (one["training_images"], one["exploiter"]) == ("ULEO-Grays", "w/ Gray")
    )
    assert (float(grays["paper"]), float(grays["paper_std"]), grays["n"]) == (44.67, 10.47, "2")
    assert float(grays["difference"]) == pytest.approx(float(grays["ours"]) - 44.67)
    # 5 treatments by 2 exploiters; in mixes the clean share once, and clean, ULEOs and GrayAugs by 2 and 2.
    assert f"{2 * (10 + 2 + 2 * 6)} trainings" in err
    assert "about" in err.split("group 1")[0] or "less than a minute" in err.split("group 1")[0]
    page = Path("o/report.html").read_text(encoding="utf-8")
    assert "44.67" in page and "ULEO-GrayAugs" in page and "--reproduce" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
