"""`ulecli surrogate`, on the store that ships and on a tiny training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from ulecli.cli import main
from ulecli.errors import ExitCode
from ulecli.surrogates import store

MODELS = Path(__file__).parents[2] / "models"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code)


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Forty pictures of noise in two classes."""
    generator = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "pictures" / ("cats" if number % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def test_what_ships_is_small_and_as_its_cards_say(capsys) -> None:
    assert run("surrogate", "verify") == ExitCode.OK
    reported = capsys.readouterr().out
    for name in ("photo", "cifar", "cifar-linear", "cifar-mlp"):
        assert f"{name}: as its card says" in reported
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 8_000_000
    assert {path.suffix for path in MODELS.iterdir()} == {".json", ".onnx", ".safetensors"}
    for name in store.names():
        card = store.load_card(name)
        assert card.effect and card.limits, f"the card of {name} has no effect or no limits"
    assert store.load_card("photo").protocol["families"] * store.load_card("photo").net["classes"] >= 64


def test_list_and_show(capsys) -> None:
    assert run("surrogate", "list") == ExitCode.OK
    assert "photo" in capsys.readouterr().out
    assert run("surrogate", "show", "photo") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["name"] == "photo"
    assert run("surrogate", "show", "fhoto") == ExitCode.MODEL
    assert "did you mean 'photo'" in capsys.readouterr().err


def test_training_on_a_folder_makes_a_surrogate_that_protects(
    class_folder, tmp_path, monkeypatch, capsys
) -> None:
    store_folder, deltas = tmp_path / "store", tmp_path / "deltas.npy"
    arguments = ["--recipe", "cifar-linear", "--data", str(class_folder), "-o", str(store_folder)]
    limits = ["--batches", "8", "--deltas", str(deltas), "--device", "cpu"]
    assert run("surrogate", "train", "mine", *arguments, *limits) == ExitCode.OK
    delta = np.load(deltas)
    assert delta.shape == (40, 1, 32, 32) and delta.dtype == np.int8 and np.abs(delta).max() == 8
    assert sorted(path.name for path in store_folder.iterdir()) == [
        "mine.0.onnx",
        "mine.json",
        "mine.safetensors",
    ]
    monkeypatch.setenv("ULECLI_MODELS", str(store_folder))
    out = tmp_path / "out"
    key = ["--key-file", str(tmp_path / "key")]
    assert run("protect", str(class_folder), "-o", str(out), "--surrogate", "mine", *key) == ExitCode.OK
    assert len(list(out.rglob("*.png"))) == 40
    graph = tmp_path / "graph.onnx"
    assert run("surrogate", "export", "mine", "-o", str(graph)) == ExitCode.OK
    assert graph.read_bytes() == store.verified_bytes("mine", ".0.onnx")
    onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "nothing"], ExitCode.USAGE, "no recipe"),
        (["train", "cifar", "--data-root", "nowhere"], ExitCode.FAILED, "--data-root"),
        (["train", "cifar", "--data", "nowhere"], ExitCode.NO_SUCH_PATH, "nowhere"),
        (["train", "photo", "--deltas", "d.npy"], ExitCode.USAGE, "one family"),
        (["train", "../photo", "--recipe", "photo"], ExitCode.USAGE, "can't name"),
        (["train", "cifar", "-o", "afile"], ExitCode.TARGET, "can't write"),
        (["export", "fhoto", "-o", "x.onnx"], ExitCode.MODEL, "no surrogate"),
        (
            ["export", "photo", "--family", "70", "-o", "x.onnx"],
            ExitCode.MODEL,
            "numbered from 0, and none is 70",
        ),
        (["export", "photo", "-o", "afile/x.onnx"], ExitCode.TARGET, "can't write"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, code, words, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    assert run("surrogate", *arguments) == code
    reported = capsys.readouterr().err
    assert words in reported and "Traceback" not in reported


def test_without_torch_training_names_the_line_that_installs_it() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from ulecli.cli import main\n"
        "main(['surrogate', 'train', 'photo'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == ExitCode.MISSING_EXTRA
    assert "pip install '.[torch]'" in done.stderr
