from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_runs import Told, figures, tiny  # noqa: F401
from PIL import Image

from ulecli.errors import UleError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.photo_plan import Turn, band_warnings, photo_set_names, treatments, turns
from ulecli.evaluation.photo_sets import photo_data
from ulecli.evaluation.poisons.band_noise import Fitted
from ulecli.evaluation.run import evaluate
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.imaging import visibility

pytestmark = pytest.mark.usefixtures("tiny")

CLASSES = ("ada", "bo")
TREATMENTS = ("noise-mean", "band-10-30", "band-24-56", "protected")


def people(root: Path, shift: int = 0, train: int = 6) -> Path:
    """Two persons, some photos each to train on and 4 to test on, 80 x 60, brighter by `shift` levels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", 4)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                coarse = rng.integers(60, 180, (6, 8, 3)) + 20 * label
                pixels = coarse.repeat(10, 0).repeat(10, 1) + shift * (1 + label)
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{number}.png")
    return root


def plan(tmp_path: Path, **changes: object) -> EvaluateConfig:
    clean, protected = people(tmp_path / "people"), people(tmp_path / "protected", 5)
    known = {"only": ("each",), "exploiters": ("standard",), "size": 64, "jobs": 1, "threads": 1, **changes}
    return EvaluateConfig(dataset=str(clean), protected=protected, **known)


def test_who_is_protected_when(tmp_path) -> None:
    config = plan(tmp_path, seeds=(3, 4, 3))
    assert list(turns(config, CLASSES)) == [Turn(("ada",), alone=True), Turn(("bo",), alone=True)]
    assert [(turn.classes, turn.seed) for turn in turns(replace(config, share=0.5), CLASSES)] == [
        *((("ada",), 3), (("bo",), 3)),
        *((("ada",), 4), (("bo",), 4)),
    ]
    assert list(turns(replace(config, only=("bo", "ada")), CLASSES)) == [Turn(("bo", "ada"))]
    assert list(turns(replace(config, only=("bo",), share=0.5), CLASSES)) == [
        Turn(("bo",), seed=3),
        Turn(("bo",), seed=4),
    ]
    assert list(turns(replace(config, only=()), CLASSES)) == [Turn(())]


def test_sets_have_their_names(tmp_path, monkeypatch) -> None:
    config = plan(tmp_path)
    each = [f"{treatment} {name}" for name in CLASSES for treatment in TREATMENTS]
    assert photo_set_names(config, CLASSES) == ("clean", *each)
    assert photo_set_names(replace(config, only=("bo", "ada")), CLASSES) == (
        *("clean", "noise", "noise-mean", "protected bo+ada"),
    )
    assert photo_set_names(replace(config, only=(), controls=False), CLASSES) == ("protected",)
    monkeypatch.setattr(visibility, "installed", lambda: False)
    assert treatments(config) == ("noise-mean", "protected")


def test_each_is_protected_alone_beside_its_controls(tmp_path) -> None:
    config = plan(tmp_path, out=tmp_path / "out", seeds=(0, 1))
    reported = Told()
    done = evaluate(config, reported)
    names = ["clean", *[f"{treatment} {name}" for name in CLASSES for treatment in TREATMENTS]]
    assert reported.announced == (tuple(names), 18)
    assert [one.arm.poison for one in done.records] == names * 2 and not done.notes
    sets = {one.name: one for one in TrainingSets(config, photo_data(config), tmp_path / "out/sets").sets()}
    clean = sets["clean"].read().images
    for record in done.records[1:9]:
        treatment, who = record.arm.poison.split()
        images, label = sets[record.arm.poison].read(), CLASSES.index(who)
        changed = (images.images != clean).flatten(1).any(1)
        assert torch.equal(changed, images.labels == label)
        assert record.audit["changed_share"] == 0.5 and record.train_md5 == images.digest
        assert sets[record.arm.poison].shape == (12, 3, 64, 64)
        assert len(np.load(sets[record.arm.poison].file)) == 6  # the others are those of the clean set
        if treatment.startswith("band"):
            assert record.audit["ssimulacra2"] == pytest.approx(
                record.audit["ssimulacra2_protected"], abs=0.5
            )
        if treatment == "protected":
            assert record.audit["max_change"] == 5 * (1 + label)
            band = next(one for one in done.records if one.arm.poison == f"band-10-30 {who}")
            assert record.audit["ssimulacra2"] == band.audit["ssimulacra2_protected"]
            noise = next(one for one in done.records if one.arm.poison == f"noise-mean {who}")
            assert np.mean(noise.audit["mean_amplitude"]) == pytest.approx(
                np.mean(record.audit["mean_amplitude"]), rel=0.02
            )


def test_each_is_taken_up_cell_by_cell(tmp_path, monkeypatch) -> None:
    config = plan(tmp_path, out=tmp_path / "out", exploiters=("standard", "gray"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, Told(stop_after=5))
    for module in ("photo_noise", "band_noise"):
        monkeypatch.setattr(
            f"ulecli.evaluation.poisons.{module}.store_with", lambda *_: pytest.fail("made again")
        )
    reported = Told()
    done = evaluate(replace(config, resume=True), reported)
    assert len(reported.plan) == 13 and len(done.records) == 18
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert len({json.loads(line)["train_md5"] for line in lines}) == 9
    assert figures(done.records[:5]) == figures(evaluate(replace(config, resume=True)).records[:5])


def test_each_turn_is_what_protecting_that_class_by_name_gives(tmp_path) -> None:
    config = plan(tmp_path)
    alone = {one.arm.poison: one for one in evaluate(config).records}
    (named,) = evaluate(replace(config, only=("bo",), controls=False)).records
    assert named.train_md5 == alone["protected bo"].train_md5
    assert named.recalls == alone["protected bo"].recalls


@pytest.mark.parametrize("only", [("each",), ("ada",)])
def test_a_share_of_the_photos_is_protected(only: tuple[str, ...], tmp_path) -> None:
    config = plan(tmp_path, only=only, share=0.5, seeds=(0, 1), controls=False)
    done = evaluate(config)
    assert len(done.records) == 2 * (2 if only == ("each",) else 1)
    assert {one.audit["changed_share"] for one in done.records} == {3 / 12}
    assert {one.audit["share"] for one in done.records} == {0.5}
    first, second = (one for one in done.records if one.arm.poison == "protected ada")
    assert (first.arm.seed, second.arm.seed) == (0, 1) and first.train_md5 != second.train_md5
    again = evaluate(replace(config, seeds=(1,))).records[0]
    assert again.train_md5 == second.train_md5


def test_without_the_package_the_band_noise_is_left_out_and_noted(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(visibility, "installed", lambda: False)
    done = evaluate(plan(tmp_path))
    assert [one.arm.poison for one in done.records] == [
        *("clean", "noise-mean ada", "protected ada", "noise-mean bo", "protected bo"),
    ]
    (note,) = done.notes
    assert "as plain to see as the protection: pip install '.[measure]'" in note


def test_what_can_not_be_judged_alone_is_refused(tmp_path) -> None:
    config = plan(tmp_path)
    for number in range(2, 6):
        (tmp_path / "people" / "train" / "bo" / f"{number}.png").unlink()
    evaluate(replace(config, only=("ada",), controls=False, protected=tmp_path / "people"))
    for number in range(1, 4):
        (tmp_path / "people" / "test" / "bo" / f"{number}.png").unlink()
    for only in (("each",), ("bo",)):
        with pytest.raises(UleError, match=r"bo has 3 photos to train and test on; .* 5 at least"):
            evaluate(replace(config, only=only))


def test_one_class_alone_is_refused(tmp_path) -> None:
    config = plan(tmp_path)
    for part in ("train", "test"):
        (tmp_path / "people" / part / "bo").rename(tmp_path / f"bo {part}")
    with pytest.raises(UleError, match="people has the class ada alone"):
        evaluate(config)


def test_a_class_that_is_called_each_is_ambiguous(tmp_path) -> None:
    config = plan(tmp_path)
    for part in ("train", "test"):
        (tmp_path / "people" / part / "bo").rename(tmp_path / "people" / part / "each")
    with pytest.raises(UleError, match="every class in turn, and one is called so: rename"):
        evaluate(config)


def test_band_noise_that_misses_is_warned_of() -> None:
    near, plainer, fainter = Fitted(3, 60, 61), Fitted(0, 40, 50), Fitted(64, 20, 3)
    assert band_warnings([near]) == ()
    first, second = band_warnings([near, plainer, fainter, plainer])
    assert first.startswith("in 2 of 4 photos this noise is plainer to see")
    assert second.startswith("in 1 of 4 photos this noise is harder to see")
