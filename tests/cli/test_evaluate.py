"""`ulecli evaluate`, on shapes and with a preset of a moment."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_nets import write_onnx
from PIL import Image

import ulecli.evaluation.config
import ulecli.evaluation.run
from ulecli.cli import main
from ulecli.data.datasets import DATASETS, Dataset
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import ExitCode
from ulecli.evaluation import task
from ulecli.evaluation.defenders import defender_names
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.exploiters.registry import FAMILIES, exploiter_names, from_scratch
from ulecli.evaluation.results.markup import Format
from ulecli.nets.backbones.judges import JUDGES
from ulecli.nets.backbones.makers import MAKERS
from ulecli.nets.registry import NETS
from ulecli.surrogates import store

SHAPES = Dataset("shapes", shapes(60), shapes(30, seed=1))
FAST = ("--dataset", "shapes", "--device", "cpu", "--jobs", "1", "--threads", "1")


MISTAKES = [
    (["--exploiter", "grey"], ExitCode.USAGE, "did you mean gray?"),
    (["--exploiter", "jpeg-0"], ExitCode.USAGE, "1 to 100"),
    (["--exploiter", "at+nfgsm"], ExitCode.USAGE, "two adversarial"),
    (["--exploiter", ""], ExitCode.USAGE, "at least one exploiter"),
    (["--defender", "cifra"], ExitCode.USAGE, "did you mean cifar"),
    (["--arch", "resnet-18"], ExitCode.USAGE, "did you mean resnet18?"),
    (
        ["--exploiter", "probe", "--backbone", "efficientnet-lite3"],
        ExitCode.USAGE,
        "did you mean efficientnet",
    ),
    (["--exploiter", "probe", "--backbone", "no.onnx"], ExitCode.NO_SUCH_PATH, "no backbone no.onnx"),
    (["--exploiter", "probe", "--backbone", "text.pt"], ExitCode.MODEL, "text.pt"),
    (["--exploiter", "probe", "--backbone", "empty"], ExitCode.USAGE, "is a folder"),
    (["--exploiter", "finetune", "--backbone", "net.onnx"], ExitCode.USAGE, "take the exploiter probe or"),
    (
        ["--exploiter", "probe", "--backbone", "net.onnx", "--backbone-size", "24"],
        ExitCode.USAGE,
        "16 x 16 alone",
    ),
    (
        ["--exploiter", "probe", "--backbone", "net.onnx", "--backbone-layer", "fc"],
        ExitCode.MODEL,
        "no layer 'fc'",
    ),
    (["--exploiter", "probe", "--backbone-norm", "sign"], ExitCode.USAGE, "did you mean signed?"),
    (["--backbone", "net.onnx"], ExitCode.USAGE, "name one of them"),
    (["--exploiter", "probe", "--arch", "resnet18"], ExitCode.USAGE, "take --backbone"),
    (["--exploiter", "probe+mixup", "--backbone", "net.onnx"], ExitCode.USAGE, "no training batches"),
    (["--preset", "quik"], ExitCode.USAGE, "only quick, fast, paper; did you mean quick?"),
    (["--seeds", "a"], ExitCode.USAGE, "--seeds 'a'"),
    (["--seeds", "-1"], ExitCode.USAGE, "0 or more"),
    (["--seeds", ","], ExitCode.USAGE, "one seed"),
    (["--seeds", "99999999999999999999"], ExitCode.USAGE, "seeds below"),
    (["--eps", "33"], ExitCode.USAGE, "--eps is 33"),
    (["--eps", "7.5"], ExitCode.USAGE, "--eps is 7.5, but must be a whole number of levels, 1 to 32"),
    (["--gray", "test-only"], ExitCode.USAGE, "only both, train-only; did you mean train-only?"),
    (["--poison-kind", "image"], ExitCode.USAGE, "perturbation; did you mean images?"),
    (["--mix", "5"], ExitCode.USAGE, "CLEAN+ADDED"),
    (["--mix", "5+30", "--train-images", "9"], ExitCode.USAGE, "leave out --train-images"),
    (["--train-images", "61"], ExitCode.USAGE, "has 60"),
    (["--train-images", "10"], ExitCode.USAGE, "fill a batch of 20"),
    (["--dataset", "cifar10", "--size", "64"], ExitCode.USAGE, "--size is for folders"),
    (["--resume"], ExitCode.USAGE, "--resume needs --out"),
    (["--only", "sea"], ExitCode.USAGE, "belong to --protected"),
    (["--protected", "x"], ExitCode.USAGE, "--dataset FOLDER"),
    (["--upload", "q101"], ExitCode.USAGE, "q101"),
    (["--only", "each"], ExitCode.USAGE, "belong to --protected"),
    (["--only", "each,sea"], ExitCode.USAGE, "name no other beside it"),
    (["--share", "0.5"], ExitCode.USAGE, "--share belongs to --only"),
    (["--share", "0"], ExitCode.USAGE, "--share 0: write a number above 0, up to 1"),
    (["--share", "1.5"], ExitCode.USAGE, "--share 1.5: write a number above 0, up to 1"),
    (["--share", "nan"], ExitCode.USAGE, "--share nan: write a number above 0, up to 1"),
    (["--share", "half"], ExitCode.USAGE, "--share 'half': write a number above 0"),
    (["--validation", "0.6"], ExitCode.USAGE, "--validation 0.6: write a share from 0 to 0.5"),
    (["--validation", "0.01"], ExitCode.USAGE, "--validation 0.01 of the 6 images of class"),
    (["--audit"], ExitCode.USAGE, "--audit looks at poisons"),
    (["--format", "word"], ExitCode.USAGE, "no --format 'word', only table, json"),
    (["--jobs", "99999"], ExitCode.FAILED, "take fewer"),
    (["--device", "cuda"], ExitCode.DEVICE, "--device cpu"),
    (["--out", "afile"], ExitCode.TARGET, "afile"),
    (["--dataset", "shape"], ExitCode.USAGE, "did you mean shapes?"),
    (["--dataset", "alone"], ExitCode.FAILED, "one"),
    (["--dataset", "empty"], ExitCode.FAILED, "no folder"),
    (["--dataset", "cifar10", "--data-root", "empty", "--offline"], ExitCode.FAILED, "--data-root"),
    (["--poison", "nowhere"], ExitCode.NO_SUCH_PATH, "no poison nowhere"),
    (["--poison", "nam.npy"], ExitCode.NO_SUCH_PATH, "did you mean nan.npy?"),
    (["--poison", "nan.npy"], ExitCode.FAILED, "NaN or infinity"),
    (["--poison", "few.npy"], ExitCode.FAILED, "holds 7 images where the training set has 60"),
    (["--poison", "size.npy"], ExitCode.FAILED, "needs (N, 3, 32, 32)"),
    (["--poison", "broken.npy"], ExitCode.FAILED, "broken.npy"),
    (["--poison", "text.pt"], ExitCode.FAILED, "text.pt"),
    (["--poison", "empty"], ExitCode.FAILED, "empty"),
]
"""What can't be right, the code it ends with, and words of the message."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    small = replace(
        PRESETS["quick"].small,
        epochs=1,
        batch_size=20,
        rate=0.02,
        settings={"widths": (8,)},
        least_steps=0,
    )
    presets = dict.fromkeys(PRESETS, replace(PRESETS["quick"], small=small, robust_images=10, attack_steps=1))
    read = ulecli.evaluation.run.open_dataset
    monkeypatch.setattr(ulecli.evaluation.config, "PRESETS", presets)
    monkeypatch.setattr(
        ulecli.evaluation.run,
        "open_dataset",
        lambda name, *rest, **more: SHAPES if name == "shapes" else read(name, *rest, **more),
    )


@pytest.fixture
def evaluate(capsys):
    """Run the command in this process; returns exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        reported = capsys.readouterr()
        return int(ended.value.code or 0), reported.out, reported.err

    return run


def steps_of(err: str) -> list[str]:
    """Return the lines of what is done, without the estimates that a slow machine has time for."""
    return [line for line in err.splitlines() if not re.match(r"\d+ of \d+ trainings done, .* left$", line)]


def test_list_names_everything(evaluate) -> None:
    code, out, err = evaluate("--list")
    assert code == 0 and not err
    words = set(out.replace("|", " ").split())
    for name, family in FAMILIES.items():
        strengths = "|".join(map(str, family.strengths))
        assert f"  {name}-{strengths} " in out if strengths else f"  {name} " in out
        assert family.source in out
    assert {*NETS, *DATASETS, *PRESETS, *defender_names(classwise=False), *JUDGES, *MAKERS} <= words
    assert all(len(line.split()) > 1 for line in out.splitlines() if line.startswith("  "))


def test_help_tells_the_exit_codes(evaluate) -> None:
    code, out, _ = evaluate("--help")
    reported = re.findall(r"^ +(\d+)  +\S", out.partition("Exit codes:")[2], re.MULTILINE)
    ended = {0, *(int(code) for _, code, _ in MISTAKES), ExitCode.MODEL, ExitCode.MISSING_EXTRA}
    assert code == 0 and {int(number) for number in reported} == {
        *ended,
        ExitCode.SOME_FAILED,
        ExitCode.NO_VERDICT,
        ExitCode.INTERRUPTED,
    }


def test_a_damaged_surrogate_is_told(evaluate, monkeypatch, tmp_path) -> None:
    shutil.copytree(store.directory(), tmp_path / "models")
    with (tmp_path / "models" / "cifar-linear.safetensors").open("ab") as file:
        file.write(b"x")
    monkeypatch.setenv("ULECLI_MODELS", str(tmp_path / "models"))
    code, out, err = evaluate(*FAST, "--defender", "cifar-linear")
    assert code == ExitCode.MODEL and out == "" and "cifar-linear.safetensors" in err


def test_the_usual_run_is_a_table_and_a_sentence(evaluate, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where no other test has made the same delta
    code, out, err = evaluate(*FAST, "--defender", "cifar-linear")
    assert code == 0
    first, told, made, *done = steps_of(err)
    assert first == "6 trainings, on images called clean, noise, cifar-linear"
    assert re.fullmatch(r"protecting 60 images by cifar-linear: .+; 6 trainings: .+; in all .+", told)
    assert made.startswith(
        "cifar-linear: protecting: 60 of 60"
    )  # and what is left, if there was time to measure
    assert len(done) == 6 and re.fullmatch(
        r"clean · standard · fast-conv · seed 0: last \S+ %, peak \S+ %, \d+ s; 5 left.*", done[0]
    )
    rows = [line.split()[0] for line in out.splitlines() if line and line[0].isalpha()]
    assert {"clean", "noise", "cifar-linear"} <= set(rows)
    assert "chance 10.0 %" in out and "standard" in out and "gray" in out
    assert "exploiter" in out.splitlines()[-1] or "exploiters" in out


def test_without_a_name_the_bundled_surrogate_protects(evaluate) -> None:
    code, out, _ = evaluate(*FAST, "--exploiter", "gray", "--format", "json")
    assert code == 0
    arms = json.loads(out)["arms"]
    assert [(arm["poison"], arm["exploiter"]) for arm in arms] == [
        ("clean", "gray"),
        ("noise", "gray"),
        ("cifar", "gray"),
    ]


@pytest.mark.parametrize("form", Format)
def test_formats(form: str, evaluate, tmp_path) -> None:
    arguments = (*FAST, "--defender", "noise", "--seeds", "0,1", "--exploiter", "standard")
    code, out, err = evaluate(*arguments, "--format", form, "--quiet")
    assert code == 0 and not err
    if form == "json":
        reported = json.loads(out)
        assert [arm["poison"] for arm in reported["arms"]] == ["clean", "noise"]
        assert all(len(arm["runs"]) == 2 for arm in reported["arms"])
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [(row["poison"], row["seed"]) for row in rows] == [
            ("clean", "0"),
            ("noise", "0"),
            ("clean", "1"),
            ("noise", "1"),
        ]
        assert all(0 <= float(row["last"]) <= 100 for row in rows)
    elif form == "latex":
        assert out.count(r"\begin{table}") == out.count(r"\end{table}") == 2
    elif form == "markdown":
        assert re.search(r"\| training images +\|", out) and re.search(r"\| clean +\|", out)
    else:
        assert "±" in out and "training images" in out


def test_all_exploiters(evaluate) -> None:
    code, out, _ = evaluate(
        *FAST, "--exploiter", "all", "--defender", "noise", "--no-controls", "--format", "csv"
    )
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    # Those of pretrained nets join where such a net is named.
    assert [row["exploiter"] for row in rows] == list(from_scratch(exploiter_names()))


def test_gray_on_training_images_alone(evaluate) -> None:
    arguments = ("--exploiter", "gray,Gray+jpeg-10", "--gray", "train-only", "--defender", "noise")
    code, out, _ = evaluate(*FAST, *arguments, "--no-controls", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["exploiter"] for row in rows] == ["gray-train-only", "gray-train-only+jpeg-10"]


def test_results_are_kept_and_taken_up(evaluate, tmp_path) -> None:
    out = tmp_path / "out"
    arguments = (*FAST, "--exploiter", "standard", "--defender", "noise", "--out", out)
    code, first, err = evaluate(*arguments)
    assert code == 0 and len(steps_of(err)) == 5  # the plan, its time, two trainings, and where they are kept
    assert f"kept in {out}: results.jsonl, curves.png, curves.svg" in err
    assert ("gallery.png" in err) == (out / "gallery.png").exists()
    assert {"results.jsonl", "run.json", "curves.png", "curves.svg"} <= {path.name for path in out.iterdir()}
    code, _, err = evaluate(*arguments)
    assert code == ExitCode.TARGET and "--resume" in err
    code, again, err = evaluate(*arguments, "--resume", "--quiet")
    assert (code, again, err) == (0, first, "")
    code, _, err = evaluate(*arguments, "--resume", "--eps", 4)
    assert code == ExitCode.TARGET and "another configuration" in err


def test_a_poison_of_a_file(evaluate, tmp_path) -> None:
    delta = np.random.default_rng(0).choice([-8, 8], SHAPES.train.images.shape)
    np.save(tmp_path / "noise.npy", delta.astype(np.int8))
    code, out, _ = evaluate(
        *FAST, "--exploiter", "standard", "--poison", tmp_path / "noise.npy", "--format", "json"
    )
    assert code == 0
    reported = json.loads(out)
    poisons = [arm["poison"] for arm in reported["arms"]]
    assert poisons == ["clean", "noise", f"poison {tmp_path / 'noise.npy'}"]
    assert reported["arms"][2]["runs"][0]["audit"]["max_change"] == 8


@pytest.fixture
def colours(monkeypatch) -> Dataset:
    """A data set whose classes are colours, and a preset that learns them in a moment."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> ImageSet:
        labels = torch.arange(count) % 10
        palette = rng.integers(0, 200, (10, 3, 1, 1)) if not palettes else palettes[0]
        palettes.append(palette)
        pixels = palette[labels] + rng.integers(0, 40, (count, 3, 16, 16)).repeat(2, 2).repeat(2, 3)
        return ImageSet(torch.from_numpy(pixels.astype(np.uint8)), labels, SHAPES.train.classes)

    palettes: list[np.ndarray] = []
    data = Dataset("shapes", drawn(400), drawn(100))
    monkeypatch.setattr(ulecli.evaluation.run, "open_dataset", lambda *_, **__: data)
    preset = ulecli.evaluation.config.PRESETS["quick"]
    longer = dict.fromkeys(PRESETS, replace(preset, small=replace(preset.small, epochs=8)))
    monkeypatch.setattr(ulecli.evaluation.config, "PRESETS", longer)
    return data


def test_a_training_that_learns_nothing_ends_without_a_verdict(evaluate, colours, tmp_path) -> None:
    order = np.random.default_rng(1).permutation(400)
    images, labels = colours.train.images.numpy()[order], colours.train.labels.numpy()[order]
    np.savez(tmp_path / "own.npz", images=images ^ 1, labels=labels)
    np.save(tmp_path / "mixed.npy", images ^ 1)
    noise = np.random.default_rng(2).integers(0, 256, images.shape, dtype=np.uint8)
    np.save(tmp_path / "unrelated.npy", noise)
    kept = ("--out", tmp_path / "out", "--resume")  # so that controls are trained once
    usual = (*FAST, "--exploiter", "standard", "--poison-kind", "images", *kept)
    code, out, _ = evaluate(*usual, "--poison", tmp_path / "own.npz")
    assert code == 0 and "not protected against standard" in out and "in an order of their own" in out
    for name, reason in (("mixed", "were made from others"), ("unrelated", "so it learned nothing")):
        code, out, err = evaluate(*usual, "--poison", tmp_path / f"{name}.npy", "--quiet")
        assert code == ExitCode.NO_VERDICT
        assert "no verdict against standard" in out and ": protected against" not in out
        assert err.startswith(f"ulecli: error: no verdict on {name}: ") and reason in err
        assert len(err.splitlines()) == 1


def test_a_perfect_poison_in_a_mix_is_called_protected(evaluate, colours, tmp_path) -> None:
    small = np.random.default_rng(2).integers(0, 256, (400, 3, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "perfect.npy", small.repeat(8, 2).repeat(8, 3))
    usual = (*FAST, "--exploiter", "standard", "--poison", tmp_path / "perfect.npy", "--mix", "5+95")
    code, out, _ = evaluate(*usual, "--poison-kind", "images")
    assert code == 0 and "protected against standard" in out, out
    assert "the clean share alone" in out and "Difference from as much clean data, points" in out


def test_an_audit_trains_nothing(evaluate, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.evaluation.task.train_exploiter", lambda *_, **__: pytest.fail("training"))
    np.save(tmp_path / "mine.npy", (SHAPES.train.images ^ 1).numpy())
    code, out, err = evaluate(*FAST, "--audit", "--poison", tmp_path / "mine.npy", "--defender", "noise")
    assert code == 0 and err == ""
    first, second = [line for line in out.splitlines() if line.startswith("audit of ")]
    assert first.startswith("audit of noise: ") and "by up to 8 levels" in first
    assert second.startswith("audit of mine: images in levels, 100% of 60 images changed, by up to 1 levels")
    code, out, _ = evaluate(*FAST, "--audit", "--poison", tmp_path / "mine.npy", "--format", "json")
    assert code == 0 and json.loads(out)["poisons"][0]["max_change"] == 1
    code, out, _ = evaluate(*FAST, "--poison", tmp_path / "mine.npy", "--audit", "--out", tmp_path / "out")
    assert code == 0 and not (tmp_path / "out").exists()


def test_each_class_is_protected_in_turn(evaluate, tmp_path) -> None:
    rng = np.random.default_rng(0)
    for tree, shift in (("people", 0), ("protected", 9)):
        for part, count in (("train", 12), ("test", 3)):
            for name in ("ada", "bo"):
                (tmp_path / tree / part / name).mkdir(parents=True)
                for number in range(count):
                    pixels = rng.integers(40, 200, (8, 8, 3)).repeat(8, 0).repeat(8, 1) + shift
                    Image.fromarray(pixels.astype(np.uint8)).save(
                        tmp_path / tree / part / name / f"{number}.png"
                    )
    trees = ("--dataset", tmp_path / "people", "--protected", tmp_path / "protected")
    usual = (*FAST[2:], "--exploiter", "standard", "--size", 32, "--only", "each", "--out", tmp_path / "out")
    code, out, err = evaluate(*trees, *usual, "--no-controls", "--format", "json")
    assert code == 0 and "2 trainings, on images called protected ada, protected bo" in err
    (row,) = json.loads(out)["each"]
    assert row["treatment"] == "protected" and set(row["identities"]) == {"ada", "bo"}
    assert row["clean_recall"] is None and row["below_band_noise"] is None
    code, out, _ = evaluate(*trees, *usual, "--no-controls", "--resume", "--quiet")
    assert code == 0 and "Recall of each class in its turn, exploiter standard" in out
    code, _, err = evaluate(*trees, *usual, "--no-controls", "--resume", "--share", "0.5")
    assert code == ExitCode.TARGET and "another configuration (share: null there, 0.5 here)" in err


@pytest.fixture
def mistakes(tmp_path, monkeypatch) -> Path:
    """A folder of things that can't be used, and the current one."""
    monkeypatch.chdir(tmp_path)
    np.save("nan.npy", np.full(SHAPES.train.images.shape, np.nan, np.float32))
    write_onnx(Path("net.onnx"))
    np.save("few.npy", np.zeros((7, 3, 32, 32), np.int8))
    np.save("size.npy", np.zeros((60, 3, 28, 28), np.int8))
    Path("broken.npy").write_bytes(Path("few.npy").read_bytes()[:-100])
    Path("text.pt").write_text("no archive")
    for number in range(8):
        Path("alone/one").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(f"alone/one/{number}.png")
    Path("afile").touch()
    Path("empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES)
def test_mistakes_are_told_in_a_line_before_any_training(
    arguments, code, words, evaluate, mistakes, monkeypatch
) -> None:
    if arguments == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("there is one")
    for name in ("task.train_exploiter", "scheduling.ProcessPoolExecutor"):
        monkeypatch.setattr(f"ulecli.evaluation.{name}", lambda *_, **__: pytest.fail("training"))
    given = [option for option in arguments if option.startswith("--")]
    pairs = [(FAST[place], FAST[place + 1]) for place in range(0, len(FAST), 2)]
    usual = [part for option, value in pairs if option not in given for part in (option, value)]
    ended, out, err = evaluate(*usual, *arguments)
    assert ended == code and out == ""
    assert words in err and "Traceback" not in err
    assert err.startswith("ulecli: error: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize("package", ["torch", "onnx", "matplotlib", "psutil", "tabulate"])
def test_a_package_that_is_missing_is_told_first(package: str, evaluate, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = evaluate(*FAST, "--out", tmp_path / "out")
    assert code == ExitCode.MISSING_EXTRA and out == ""
    assert f"this needs {package}: pip install '.[torch]'" in err
    assert not (tmp_path / "out").exists()


def test_an_interruption_says_how_to_go_on(evaluate, monkeypatch, tmp_path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ulecli.evaluation.task.train_exploiter", interrupted)
    code, out, err = evaluate(*FAST, "--out", tmp_path / "out")
    assert code == ExitCode.INTERRUPTED and out == ""
    assert f"go on with --out {tmp_path / 'out'} --resume" in err


@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_interruption_prints_the_table_of_what_is_done(
    kept: bool, evaluate, monkeypatch, tmp_path
) -> None:
    train, begun = task.train_exploiter, []

    def interrupted(*given: object, **more: object) -> object:
        begun.append(1)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return train(*given, **more)

    monkeypatch.setattr(task, "train_exploiter", interrupted)
    code, out, err = evaluate(*FAST, *(["--out", tmp_path / "out"] if kept else []))
    assert code == ExitCode.INTERRUPTED
    table = out.partition("last epoch")[2].partition("best epoch")[0]
    (row,) = [line for line in table.splitlines() if line.startswith("clean")]
    assert row.split()[1].replace(".", "").isdigit() and "\nnoise" not in table
    assert ("what is done is kept" in err) == kept and ("without --out nothing is kept" in err) != kept
