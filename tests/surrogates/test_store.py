from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from ulecli.errors import ExitCode, ModelError
from ulecli.surrogates import store

GRAPH = b"the graph of a step"
WEIGHTS = b"some weights"


@pytest.fixture
def card() -> store.Card:
    return store.Card(
        name="photo",
        purpose="for tests",
        net={"name": "conv", "width": 8},
        data="none",
        protocol={"steps": 3},
        command="ulecli surrogate train photo",
        seeds=(0, 1),
        versions={"numpy": "2"},
        files={
            "photo.onnx": store.card_file(GRAPH),
            "photo.safetensors": store.card_file(WEIGHTS),
        },
        effect=({"accuracy": 0.5, "seeds": 3},),
        limits=("protects nobody",),
    )


@pytest.fixture
def bench(tmp_path: Path, card: store.Card, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that holds one surrogate, found by the environment variable."""
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path))
    (tmp_path / "photo.onnx").write_bytes(GRAPH)
    (tmp_path / "photo.safetensors").write_bytes(WEIGHTS)
    store.write_card(card, tmp_path)
    return tmp_path


def test_card_survives_the_round_trip(bench: Path, card: store.Card) -> None:
    assert store.names() == ["photo"]
    assert store.load_card("photo") == card
    assert sorted(path.name for path in bench.iterdir()) == ["photo.json", "photo.onnx", "photo.safetensors"]


def test_card_is_for_humans_too(bench: Path) -> None:
    text = (bench / "photo.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '\n  "purpose": "for tests",\n' in text


def test_content_is_verified(bench: Path) -> None:
    assert store.verified_bytes("photo", ".onnx") == GRAPH
    assert store.verified_bytes("photo", ".safetensors") == WEIGHTS
    assert store.sha256_of(GRAPH) == hashlib.sha256(GRAPH).hexdigest()


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_a_changed_bit_is_found(bench: Path, suffix: str) -> None:
    path = bench / f"photo{suffix}"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ModelError, match=r"'photo' was changed since its card was written.*train the"
    ) as caught:
        store.verified_bytes("photo", suffix)
    assert caught.value.exit_code is ExitCode.MODEL


def test_a_missing_file_is_named(bench: Path) -> None:
    (bench / "photo.onnx").unlink()
    with pytest.raises(ModelError, match=r"photo\.onnx can't be read"):
        store.verified_bytes("photo", ".onnx")


def test_a_file_that_the_card_does_not_know_is_refused(bench: Path) -> None:
    (bench / "photo.pt").write_bytes(b"from somewhere")
    with pytest.raises(ModelError, match=r"no file photo\.pt by its card"):
        store.verified_bytes("photo", ".pt")


def test_unknown_name_lists_what_there_is(bench: Path) -> None:
    with pytest.raises(ModelError, match=r"no surrogate 'foto'; known are: photo; did you mean 'photo'\?"):
        store.load_card("foto")
    with pytest.raises(ModelError, match=r"known are: photo$"):
        store.load_card("linear")
    with pytest.raises(ModelError, match="no surrogate"):
        store.load_card("../photo")


def test_empty_shelf_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path / "nowhere"))
    assert store.names() == []
    with pytest.raises(ModelError, match=r"no surrogate in .*nowhere; correct or unset ULECLI_MODELS"):
        store.load_card("photo")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda entries: "{", "can't be read"),
        (lambda entries: "[]", "not a JSON object"),
        (lambda entries: json.dumps(entries | {"seeds": 1}), "'seeds' is missing or not of type list"),
        (lambda entries: json.dumps(entries | {"colour": "red"}), "colour"),
        (lambda entries: json.dumps(entries | {"files": {"photo.onnx": {"md5": ""}}}), "md5"),
        (lambda entries: json.dumps(entries | {"files": {"photo.onnx": "?"}}), "can't be read"),
        (
            lambda entries: json.dumps({key: entries[key] for key in entries if key != "net"}),
            "'net' is missing",
        ),
        (lambda entries: json.dumps(entries | {"name": "cifar"}), "is that of 'cifar'"),
        (lambda entries: b"\xff\xfe\x00", "can't be read"),
    ],
)
def test_damaged_card_is_one_clear_error(bench: Path, damage, message: str) -> None:
    path = bench / "photo.json"
    harmed = damage(json.loads(path.read_text(encoding="utf-8")))
    path.write_bytes(harmed if isinstance(harmed, bytes) else harmed.encode())
    with pytest.raises(ModelError, match=message):
        store.load_card("photo")


def test_card_is_frozen(card: store.Card) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.name = "other"  # type: ignore[misc]


def test_shelf_inside_the_package_comes_before_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package has `site-packages` for a parent, where `models` may be anybody's."""
    monkeypatch.delenv(store.ENVIRONMENT, raising=False)
    package = tmp_path / "ulecli"
    monkeypatch.setattr(store, "_PACKAGE", package)
    (tmp_path / "models").mkdir()
    assert store.directory() == tmp_path / "models"
    (package / "models").mkdir(parents=True)
    assert store.directory() == package / "models"


def test_every_bundled_surrogate_is_what_its_card_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(store.ENVIRONMENT, raising=False)
    total = 0
    for name in store.names():
        card = store.load_card(name)
        assert card.limits, f"the card of {name} says nothing about its limits"
        for file, known in card.files.items():
            content = store.verified_bytes(name, file.removeprefix(name))
            assert len(content) == known.bytes
            total += len(content)
    assert total < 24_000_000
