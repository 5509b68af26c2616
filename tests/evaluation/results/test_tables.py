from __future__ import annotations

import csv
import io
import json
import re
import shutil
import statistics
import subprocess
from dataclasses import replace

import pytest
from helpers.results_of import run

from ulecli.evaluation.results.markup import Format
from ulecli.evaluation.results.record import RunRecord
from ulecli.evaluation.results.tables import render

FIGURES = {
    ("cifar", "standard"): (20.0, 22.0, 24.0),
    ("clean", "standard"): (80.0, 81.0, 83.0),
    ("noise", "standard"): (75.0, 75.5, 77.0),
    ("cifar", "jpeg-10"): (40.0, 41.0, 45.0),
    ("clean", "jpeg-10"): (70.0, 71.0, 72.0),
    ("noise", "jpeg-10"): (69.0, 70.0, 71.0),
}


def runs(**other) -> list[RunRecord]:
    return [
        run(poison, exploiter, last, seed, **other)
        for (poison, exploiter), figures in FIGURES.items()
        for seed, last in enumerate(figures)
    ]


def cell(poison: str, exploiter: str) -> str:
    figures = FIGURES[poison, exploiter]
    return f"{statistics.mean(figures):.1f} ± {statistics.stdev(figures):.1f}"


ROWS = [
    ["training images", "standard", "jpeg-10", "worst"],
    ["clean", cell("clean", "standard"), cell("clean", "jpeg-10"), cell("clean", "standard")],
    ["noise", cell("noise", "standard"), cell("noise", "jpeg-10"), cell("noise", "standard")],
    ["cifar", cell("cifar", "standard"), cell("cifar", "jpeg-10"), cell("cifar", "jpeg-10")],
]  # fmt: skip


def text_tables(text: str) -> dict[str, list[list[str]]]:
    """Read aligned tables back by the positions of the line of dashes."""
    lines, found = text.splitlines(), {}
    for place, line in enumerate(lines):
        if set(line) == {"-", " "}:
            spans = [match.span() for match in re.finditer("-+", line)]
            end = lines.index("", place)
            rows = [lines[place - 1], *lines[place + 1 : end]]
            assert all(len(row) == len(line) for row in rows)
            found[lines[place - 2]] = [[row[a:b].strip() for a, b in spans] for row in rows]
    return found


def markdown_tables(text: str) -> dict[str, list[list[str]]]:
    found, title = {}, ""
    for line in text.splitlines():
        if line.startswith("**"):
            title = line.strip("*")
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            plain = [re.sub(r"\\([^a-z0-9\s])", r"\1", one.strip()) for one in cells]
            found.setdefault(title, []).append(plain)
    return found


def test_the_table_holds_what_was_measured():
    tables = text_tables(render(runs(), "table"))
    assert tables["Test accuracy after the last epoch, %"] == ROWS
    assert list(tables) == [f"Test accuracy after the {which} epoch, %" for which in ("last", "best")]


def test_the_second_table_is_the_peak():
    record = run(test_accuracies=(30, 66.6, 40))
    tables = text_tables(render([record], Format.TABLE))
    assert [rows[1] for rows in tables.values()] == [["clean", "40.0"], ["clean", "66.6"]]


def test_the_line_above_says_under_what_conditions():
    head = render([*runs(), run("strong", epsilon=16, deterministic=False)], "table").splitlines()[0]
    for part in (
        *("shapes, preset quick, net tiny", "500 training and 100 test images, 4 classes (chance 25.0 %)"),
        *("epsilon 8, 16", "seeds 0, 1, 2", "cpu (another run may differ slightly)"),
        *("ulecli 0.1.0", "torch 2.13.0"),
    ):
        assert part in head
    assert "no poison, seed 0; cpu, ulecli" in render([run()], "table")
    sized = [run(), run("cifar", audit={"shape": (3, 48, 64)}), run("noise", audit={"shape": (3, 48, 64)})]
    assert "100 test images of 64 x 48, 4 classes" in render(sized, "table")


def test_markdown_holds_the_same():
    first, *rows = markdown_tables(render(runs(), "markdown"))["Test accuracy after the last epoch, %"]
    left, *right = rows.pop(0)
    assert re.fullmatch(":-{3,}", left)
    assert len(right) == 3 and all(re.fullmatch("-{3,}:", one) for one in right)
    assert [first, *rows] == ROWS


def test_latex_holds_the_same():
    text = render(runs(), "latex")
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line.strip().removesuffix(r" \\").split(" & ") for line in body.splitlines() if "\\\\" in line]
    assert [[one.strip().replace(r"$\pm$", "±") for one in row] for row in rows] == ROWS
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2


def test_a_missing_cell_is_no_number_and_few_runs_are_said():
    reported = [one for one in runs() if (one.arm.poison, one.arm.exploiter) != ("noise", "jpeg-10")]
    reported = [one for one in reported if one.arm.poison != "cifar" or one.arm.seed == 0]
    clean, noise, cifar = text_tables(render(reported, "table"))["Test accuracy after the last epoch, %"][1:]
    assert noise[2:] == ["-", "-"]
    assert cifar == ["cifar", "20.0 (n=1)", "40.0 (n=1)", "40.0 (n=1)"]
    assert "n=" not in "".join(clean)


def test_each_net_has_its_own_block():
    text = render([*runs(), *runs(arch="large")], "table")
    assert re.findall(r"net (\w+):", text) == ["tiny", "large"]
    assert text.count("after the last epoch") == 2


def test_robust_accuracy_has_the_shape_of_table_7():
    robust = {"fgsm": 54.01, "pgd-20": 46.59}
    reported = [run("clean", "at", 85.3, robust=robust), run("cifar", "at", 84.4), run(exploiter="gray")]
    rows = text_tables(render(reported, "table"))["Test accuracy under attack, exploiter at, %"]
    assert rows == [["training images", "clean", "FGSM", "PGD-20"], ["clean", "85.3", "54.0", "46.6"]]


def test_recalls_of_the_protected_classes():
    reported = [run(recalls=(90, 80, 70, 60)), run("cifar", recalls=(90, 3, 71, 62))]
    rows = text_tables(render(reported, "table", recalls_for=["ring"]))
    assert rows["Share of a class's test images recognised, exploiter standard, %"] == [
        ["training images", "ring", "mean of the others"],
        ["clean", "80.0", "73.3"],
        ["cifar", "3.0", "74.3"],
    ]
    with pytest.raises(ValueError, match=r"no recall of 'star': the classes are bar, cross, disc, ring"):
        render(reported, "table", recalls_for=["star"])


def test_json_is_one_document_with_every_curve():
    reported = runs()
    document = json.loads(render(reported, "json"))
    assert (document["schema"], document["type"]) == (1, "evaluation") and document["sentence"]
    assert [RunRecord.from_json(one) for arm in document["arms"] for one in arm["runs"]] == reported
    arm = next(arm for arm in document["arms"] if (arm["poison"], arm["exploiter"]) == ("cifar", "jpeg-10"))
    assert (arm["n"], arm["chance"], arm["last"]["mean"]) == (3, 25, 42)
    assert arm["last"]["std"] == pytest.approx(statistics.stdev((40, 41, 45)))
    assert json.loads(render([run()], "json"))["arms"][0]["last"] == {"mean": 80, "std": None}


def test_stopping_early_stands_beside_last_and_peak():
    validated = {"validation_accuracies": (10.0, 90.0, 80.0), "n_validation": 20}
    reported = [
        run("cifar", last=40.0, **validated),
        run("cifar", last=44.0, seed=1, **validated),
        run("cifar", "probe"),
    ]
    text = render(reported, "table")
    title = "Test accuracy after the epoch that is best on clean validation images, %"
    assert text_tables(text)[title] == [["training images", "standard"], ["cifar", "31.5 ± 2.1"]]
    assert "500 training, 100 test and 20 validation images" in text
    for form in ("markdown", "latex"):
        assert "best on clean validation images" in render(reported, form)
    stopped = {arm["exploiter"]: arm.get("stopped") for arm in json.loads(render(reported, "json"))["arms"]}
    assert stopped == {"standard": {"mean": 31.5, "std": pytest.approx(4.5 / 2**0.5 / 1.5)}, "probe": None}
    rows = list(csv.DictReader(io.StringIO(render(reported, "csv"))))
    assert [(row["stopped"], row["n_validation"]) for row in rows] == [
        ("30.0", "20"),
        ("33.0", "20"),
        ("", "0"),
    ]
    assert "stopped" not in render(runs(), "json") and "validation" not in render(runs(), "table")
    assert "stopped" not in render(runs(), "csv")


def test_csv_has_a_line_a_run():
    odd = run('a,"b"\nc;', robust={"pgd-20": 43.8}, warnings=("x, y", "z"), recalls=(1, 2, 3, 4.5))
    reported = [*runs(), odd]
    rows = list(csv.DictReader(io.StringIO(render(reported, "csv"))))
    assert [(row["poison"], float(row["last"]), int(row["seed"])) for row in rows] == [
        (one.arm.poison, one.last, one.arm.seed) for one in reported
    ]
    assert [row["pgd-20"] for row in rows] == [""] * len(runs()) + ["43.8"]
    assert rows[-1]["warnings"] == "x, y; z" and rows[-1]["epochs"] == "3"
    assert json.loads(rows[-1]["recalls"]) == {"disc": 1, "ring": 2, "bar": 3, "cross": 4.5}
    assert json.loads(rows[-1]["versions"]) == odd.versions


NASTY = r"a_b&c%d$e#f{g}h~i^j\k|l<m>n*o`p[q]"


def test_latex_escapes():
    text = render([run(NASTY), run('"quoted"')], "latex")
    flat = re.sub(" +", " ", text)
    assert "''quoted'' & 80.0" in flat
    assert (
        r"a\_b\&c\%d\$e\#f\{g\}h\textasciitilde{}i\^{}j\textbackslash{}k\textbar{}l"
        r"\ensuremath{<}m\ensuremath{>}n*o`p[q] & 80.0 \\" in flat
    )
    assert text.count(r"\textbackslash{}k") == 2  # the name in both tables, escaped once
    comments = [line for line in text.splitlines() if line.startswith("%")]
    for line in set(text.splitlines()) - set(comments):
        assert not re.search(r"(?<!\\)[%#]", line), line


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode:
        pytest.skip("no booktabs here")
    reported = [*runs(), run(f'{NASTY}"', robust={"pgd-20": 2}, warnings=("50 % _ & # \\ bad",))]
    body = render(reported, "latex")
    document = (
        f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{body}\n\\end{{document}}"
    )
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 and (tmp_path / "tables.pdf").exists(), done.stdout


def test_latex_captions_are_escaped_as_well():
    text = render([run(dataset="a_b & 50 % | ^"), run(seed=1, dataset="a_b & 50 % | ^")], "latex")
    captions = [line for line in text.splitlines() if line.strip().startswith(r"\caption")]
    assert len(captions) == 2
    assert all(r"a\_b \& 50 \% \textbar{} \^{}, preset quick" in line for line in captions)


def test_controls_stand_first_and_say_how_they_were_made():
    kind = "random signs at ±6.20 levels"
    equal = run("noise-mean", last=70, epsilon=7, audit={"kind": kind, "shape": (3, 64, 64)})
    records = [run("protected", last=20), equal, run("noise", last=75), run(last=80)]
    text = render(records, "table")
    rows = text_tables(text)["Test accuracy after the last epoch, %"]
    assert [row[0] for row in rows[1:]] == ["clean", "noise", "noise-mean", "protected"]
    assert f"noise-mean: {kind}" in text.splitlines()
    assert "epsilon 8," in text  # the amplitude of a control is no bound of the protection
    assert "noise-mean: random signs at +/-6.20 levels" in render(records, "table", encoding="ascii")


def test_markdown_escapes():
    rows = markdown_tables(render([run(NASTY)], "markdown"))["Test accuracy after the last epoch, %"]
    assert rows[2] == [NASTY, "80.0"]


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_a_name_can_not_break_a_line(form):
    text = render([run("x\ny\r\x1b[31m\u2028")], form)
    assert len(text.splitlines()) == len(render([run("xy")], form).splitlines())
    assert "\x1b" not in text


def test_plain_text_fits_the_stream():
    reported = [*runs(), run("東京", last=30)]
    assert "±" in render(reported, "table")
    text = render(reported, "table", encoding="ascii")
    assert text.isascii() and "22.0 +/- 2.0" in text and r"\u6771\u4eac" in text
    assert text_tables(text)["Test accuracy after the last epoch, %"][1][1].startswith("81.3 +/- 1.5")
    assert "±" in render(reported, "table", encoding="latin-1")


def test_wide_letters_take_two_columns():
    lines = render([run("東京東京東京東京"), run("x")], "table").splitlines()
    wide, narrow = (next(line for line in lines if line.startswith(name)) for name in ("東", "x"))
    assert len(wide) + 8 == len(narrow)


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_what_the_self_checks_found_stands_below_once(form):
    weak = {"warnings": ("the control is weak",)}
    text = render([run(**weak), run(seed=1, **weak), run("noise", **weak)], form)
    assert text.count("warning: the control is weak") == 1
    assert re.search(r"warning: the control is weak \(clean/standard/tiny, noise/standard/tiny\)", text)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="html"):
        render([run()], "html")


def test_a_mix_has_its_clean_share_and_differences_from_as_much_clean_data():
    records = [
        run("clean", last=71.5, n_train=750),
        run("x", last=53.5, n_train=750),
        run("clean-share", last=55.5, n_train=250, epsilon=0),
    ]
    text = render(records, "table")
    assert (
        "clean-share: the clean 250 images alone; clean: as many clean images in place of the protected"
        in text
    )
    assert "epsilon 8" in text and "epsilon 0" not in text
    table = text.partition("Difference from as much clean data, points\n")[2].split("\n\n")[0]
    assert [line.split() for line in table.splitlines()[2:]] == [["clean-share", "-16.0"], ["x", "-18.0"]]
    assert json.loads(render(records, "json"))["no_verdict"] == []
    wrong = replace(records[1], audit={"labels_differ": 1.0})
    assert len(json.loads(render([records[0], wrong, records[2]], "json"))["no_verdict"]) == 1
