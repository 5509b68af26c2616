from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ulecli.crafting.run import CraftConfig, craft_set
from ulecli.data.shapes import shapes
from ulecli.errors import TargetError, UsageError
from ulecli.evaluation.poisons.reading import read_poison

QUICK = {"rounds": 2, "training_steps": 2, "steps": 3, "stop_error": 0.0}


def config(output: Path | None, **more) -> CraftConfig:
    usual = {"dataset": "shapes", "surrogate": "linear", "changes": QUICK}
    return CraftConfig(**(usual | more), output=output)


def test_the_card_says_how_the_poison_was_made(tmp_path: Path) -> None:
    made = craft_set(config(tmp_path / "poison.npz", seed=3))
    card = json.loads((tmp_path / "poison.poison.json").read_text())
    clean = shapes(2000)
    assert torch.equal(read_poison(tmp_path / "poison.npz", clean).images.images, made.images.images)
    assert card["method"] == "uleo-grayaugs" and card["seed"] == 3 and card["settings"]["rounds"] == 2
    assert card["dataset_md5"] == clean.digest and card["poison_md5"] == made.images.digest
    assert card["errors"] == list(made.errors) and len(made.errors) == 2
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_was_interrupted_goes_on_and_gives_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.crafting.bilevel.CHECKPOINT_AFTER", 0.0)
    whole = craft_set(config(None))

    def interrupt(what: str, done: int, total: int, note: str = "") -> None:
        if what.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        craft_set(config(tmp_path / "out"), interrupt)
    assert (tmp_path / "out.unfinished" / "bilevel.checkpoint").exists()
    seen: list[str] = []
    again = craft_set(config(tmp_path / "out"), lambda what, *_: seen.append(what))
    assert torch.equal(again.images.images, whole.images.images)
    assert set(seen) == {"round 2 of at most 2"}
    assert len(list((tmp_path / "out").glob("*.png"))) == 2000 and not (tmp_path / "out.unfinished").exists()
    with pytest.raises(TargetError, match="already"):
        craft_set(config(tmp_path / "out"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "none"},
        {"surrogate": "none"},
        {"epsilon": 99},
        {"dataset": "none"},
        {"method": "advpois"},
        {"method": "advpois", "changes": {}, "classwise": True},
        {"changes": {"rounds": 0}},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(UsageError):
        craft_set(config(tmp_path / "out", **wrong))
    assert not list(tmp_path.iterdir())
