from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from helpers.tiny_runs import SHAPES, Told, tiny  # noqa: F401

import ulecli.evaluation.expectations
import ulecli.evaluation.run
from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.delta_cache import usual_folder
from ulecli.evaluation.run import Interrupted, evaluate
from ulecli.evaluation.set_protection import FROM_CACHE
from ulecli.surrogates.recipe import RECIPES

pytestmark = pytest.mark.usefixtures("tiny", "quickly")

CONFIG = EvaluateConfig(
    exploiters=("standard", "at"), defenders=("cifar-linear",), dataset="shapes", jobs=1, threads=1
)


def four(images: ImageSet) -> ImageSet:
    return replace(images.subset(images.labels < 4), classes=images.classes[:4])


@pytest.fixture
def quickly(monkeypatch, tmp_path) -> None:
    """A recipe of three batches, and a cache of the test's own."""
    monkeypatch.setitem(RECIPES, "cifar-linear", replace(RECIPES["cifar-linear"], batches=3, batch_size=20))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Stopping(Told):
    """Stops when the work would begin."""

    def expecting(self, works) -> None:
        super().expecting(works)
        raise KeyboardInterrupt


def expected(config: EvaluateConfig) -> list[str]:
    """What an evaluation is about to do, each part with a time."""
    listener = Stopping()
    with pytest.raises(Interrupted):
        evaluate(config, listener)
    assert all(seconds is not None and seconds > 0 for _, seconds in listener.expected)
    return [what for what, _ in listener.expected]


def test_all_work_is_announced_with_its_time() -> None:
    assert expected(CONFIG) == ["protecting 60 images by cifar-linear", "6 trainings"]
    again = replace(CONFIG, defenders=("cifar-linear-classwise", "noise"), seeds=(0, 1))
    assert expected(again) == ["12 trainings"]


def test_a_surrogate_for_other_classes_is_announced_until_it_is_kept(monkeypatch) -> None:
    found = Dataset("shapes", four(SHAPES.train), four(SHAPES.test))
    monkeypatch.setattr(ulecli.evaluation.run, "open_dataset", lambda *given, **more: found)
    training = "training a surrogate cifar-linear for 4 classes, which is then kept"
    both = replace(CONFIG, exploiters=("standard",), defenders=("cifar-linear", "cifar-linear-classwise"))
    assert expected(both) == [training, "protecting 24 images by cifar-linear", "4 trainings"]
    assert expected(both)[0] == training  # the first steps that were measured are not kept
    first = evaluate(both)
    assert expected(both) == ["4 trainings"]  # what the surrogate adds is kept too
    shutil.rmtree(usual_folder())
    assert expected(both) == ["protecting 24 images by cifar-linear", "4 trainings"]
    again = evaluate(both)
    assert [one.train_md5 for one in again.records] == [one.train_md5 for one in first.records]


def test_what_earlier_runs_did_is_not_expected_again(tmp_path) -> None:
    config = replace(CONFIG, out=tmp_path / "out")
    done = evaluate(config)
    assert expected(replace(config, resume=True)) == []
    assert expected(replace(config, resume=True, seeds=(0, 1))) == ["6 trainings"]
    listener = Stopping()
    with pytest.raises(Interrupted) as raised:
        evaluate(replace(config, resume=True, exploiters=("at",)), listener)
    assert raised.value.done.records == tuple(one for one in done.records if one.arm.exploiter == "at-8")


def test_what_an_earlier_run_added_is_taken_over_and_said_so() -> None:
    class Reported(Told):
        """Remembers what defenders report."""

        def preparing(self, what: str, done: int, total: int) -> None:
            super().preparing(what, done, total)
            reports.append((what, done, total))

    reports: list[tuple[str, int, int]] = []
    config = replace(CONFIG, exploiters=("standard",))
    first = evaluate(config, Reported())
    assert {what for what, *_ in reports} == {"cifar-linear: protecting"}
    reports.clear()
    again = evaluate(config, Reported())  # in another folder, since none is named
    assert reports == [(f"cifar-linear: {FROM_CACHE}", 60, 60)]
    assert [one.train_md5 for one in again.records] == [one.train_md5 for one in first.records]


def test_measuring_changes_nothing() -> None:
    listener = Told()
    measured, by_itself = evaluate(CONFIG, listener), evaluate(CONFIG)
    assert listener.expected
    assert [one.test_accuracies for one in measured.records] == [
        one.test_accuracies for one in by_itself.records
    ]
    state = torch.get_rng_state()
    expected(CONFIG)
    assert torch.equal(torch.get_rng_state(), state)
