from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.full_disks import files_up_to
from helpers.tiny_runs import SHAPES, SMALL, Told, figures, tiny  # noqa: F401
from PIL import Image

from ulecli.data.images import ImageSet
from ulecli.errors import DeviceUnavailable, NoSuchPath, NothingToDo, TargetError, UleError, UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import defend
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.evaluation.order import Defender
from ulecli.evaluation.photo_sets import photo_data
from ulecli.evaluation.plugins import Order, Plugin
from ulecli.evaluation.results.record import RunRecord
from ulecli.evaluation.run import evaluate
from ulecli.evaluation.training_sets import TrainingSets, picked, poison_names
from ulecli.evaluation.validation import validation_places
from ulecli.imaging.upload import Upload
from ulecli.surrogates.recipe import RECIPES

pytestmark = pytest.mark.usefixtures("tiny")

NOISE_ALONE = EvaluateConfig(
    exploiters=("standard",), defenders=("noise",), dataset="shapes", controls=False, jobs=1, threads=1
)


def delta(seed: int = 0) -> np.ndarray:
    """One step up or down by 4 levels for every value of the tiny set."""
    return np.random.default_rng(seed).choice([-4, 4], SHAPES.train.images.shape).astype(np.int16)


def poison_file(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, (delta(seed) / 255).astype(np.float32))
    return path


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_records_hold_all_that_went_in_and_came_out(tmp_path) -> None:
    config = replace(
        NOISE_ALONE,
        exploiters=("standard", "gray", "at-8"),
        defenders=("cifar-linear",),
        controls=True,
        seeds=(0, 1),
        out=tmp_path / "out",
    )
    reported, before = Told(), torch.get_num_threads()
    done = evaluate(config, reported)
    assert torch.get_num_threads() == before
    assert len(done.records) == 3 * 3 * 2 == len(set(figures(done.records)))
    assert reported.announced == (("clean", "noise", "cifar-linear"), 18)
    assert [record.to_json() for record in done.records] == lines(tmp_path / "out")
    assert reported.records == list(done.records)
    assert sorted(reported.epochs) == [(number, epoch) for number in range(18) for epoch in (1, 2)]
    first = done.records[0]
    assert (first.arm.poison, first.arm.exploiter, first.arm.arch, first.arm.seed) == (
        "clean",
        "standard",
        "fast-conv",
        0,
    )
    for record in done.records:
        assert (record.n_train, record.n_test, record.classes) == (60, 30, SHAPES.train.classes)
        assert record.data_md5 == SHAPES.digest
        assert len(record.train_accuracies) == len(record.test_accuracies) == 2
        assert len(record.recalls) == 10
        assert record.device.startswith("cpu, 1 thread") and record.deterministic == 1 and record.seconds > 0
        assert {"ulecli", "python", "torch", "numpy"} <= set(record.versions)
        assert record.config["exploiter"] == record.arm.exploiter and record.config["epochs"] == 2
        assert set(record.robust) == ({"fgsm", "pgd-20"} if record.arm.exploiter == "at-8" else set())
        if record.arm.poison == "clean":
            assert record.audit is None and record.epsilon == 0
            assert record.train_md5 == SHAPES.train.digest
        else:
            assert record.audit["max_change"] == record.epsilon == 8
            assert record.train_md5 != SHAPES.train.digest
    hardened = next(record for record in done.records if record.arm.exploiter == "at-8")
    assert hardened.config["attack"] == {"name": "Pgd", "epsilon": 8, "steps": 2, "step": 2, "spread": 2}
    for name in ("curves.png", "gallery.png"):
        Image.open(tmp_path / "out" / name).verify()
    assert (tmp_path / "out" / "curves.svg").read_text().startswith("<?xml")


def test_a_run_is_what_the_exploiter_gives_by_itself() -> None:
    config = replace(NOISE_ALONE, exploiters=("gray",), controls=True, seeds=(3,))
    (clean, _) = evaluate(config).records
    by_hand = train_exploiter(SHAPES.train, SHAPES.test, SMALL, find_exploiter("gray"), 3)
    assert clean.arm.poison == "clean"
    assert (clean.test_accuracies, clean.recalls) == (by_hand.test_accuracies, by_hand.recalls)


def test_resume_trains_nothing_twice(tmp_path) -> None:
    config = replace(NOISE_ALONE, out=tmp_path / "out", exploiters=("standard", "gray"))
    first = evaluate(config)
    reported = Told()
    again = evaluate(replace(config, resume=True), reported)
    assert reported.plan == [] and reported.epochs == []
    assert again.records == first.records
    more = evaluate(replace(config, resume=True, seeds=(0, 1)), reported)
    assert [arm.seed for arm, _ in reported.plan] == [1, 1]
    assert len(more.records) == len(lines(tmp_path / "out")) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_keeps_what_is_done(jobs: int, tmp_path) -> None:
    config = replace(
        NOISE_ALONE, out=tmp_path / "out", exploiters=("standard", "gray", "bdr-2"), jobs=jobs, threads=jobs
    )
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, Told(stop_after=1))
    assert len(lines(tmp_path / "out")) == 1
    reported = Told()
    done = evaluate(replace(config, resume=True, jobs=1, threads=1), reported)
    assert len(reported.plan) == 2 and len(done.records) == 3
    assert figures(done.records) == figures(evaluate(replace(config, out=None, jobs=1, threads=1)).records)


def test_interrupted_protecting_goes_on_where_it_was(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("ulecli.perturb.sets.BATCH", 10)
    config = replace(NOISE_ALONE, defenders=("cifar-linear",), exploiters=("standard",), out=tmp_path / "out")

    class Protecting(Told):
        def __init__(self, stop_at: int) -> None:
            super().__init__()
            self.stop_at, self.reported = stop_at, list[int]()

        def preparing(self, what: str, done: int, total: int) -> None:
            assert (what, total) == ("cifar-linear: protecting", 60)
            self.reported.append(done)
            if done == self.stop_at:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(config, Protecting(stop_at=40))
    assert len(list((tmp_path / "out/sets").glob("*.unfinished/protecting/*.npz"))) == 4
    listener = Protecting(stop_at=0)
    resumed = evaluate(replace(config, resume=True), listener)
    assert listener.reported == [40, 50, 60]
    whole = evaluate(replace(config, out=tmp_path / "whole"))
    assert [one.train_md5 for one in resumed.records] == [one.train_md5 for one in whole.records]
    assert figures(resumed.records) == figures(whole.records)
    assert not list((tmp_path / "out/sets").glob("*.unfinished"))


def test_seeds_vary_who_draws_or_is_trained_now_and_nobody_else(monkeypatch, tmp_path) -> None:
    recipe = RECIPES["uleo-linear"]
    monkeypatch.setitem(RECIPES, "uleo-linear", replace(recipe, batches=3, batch_size=20))
    bundled, trained = "cifar-linear", "uleo-linear"
    config = replace(
        NOISE_ALONE, controls=True, defenders=(bundled, trained), seeds=(0, 1, 1), out=tmp_path / "out"
    )
    reported = Told()
    done = evaluate(config, reported)
    assert reported.announced == (("clean", "noise", bundled, trained), 8)
    made = {(one.arm.poison, one.arm.seed): one for one in done.records}
    assert set(made) == {(name, seed) for name in ("clean", "noise", bundled, trained) for seed in (0, 1)}
    for name, differs in (("clean", False), ("noise", True), (bundled, False), (trained, True)):
        assert (made[name, 0].train_md5 != made[name, 1].train_md5) is differs
    said = {key: (one.audit or {}).get("defended") for key, one in made.items()}
    assert said[bundled, 1] == "alike for every seed" and said[trained, 1] == "with seed 1"
    assert said["clean", 1] is None
    assert any(note.startswith(f"{bundled}: protected alike for every seed") for note in done.notes)
    by_hand = defend(trained, SHAPES.train, seed=1)
    assert made[trained, 1].train_md5 == by_hand.digest
    again = evaluate(replace(config, seeds=(1,), out=None))
    assert [one.train_md5 for one in again.records] == [
        made[name, 1].train_md5 for name in ("clean", "noise", bundled, trained)
    ]


def test_a_defender_that_draws_nothing_protects_once() -> None:
    calls = []

    def flat(images: ImageSet, order: Order) -> torch.Tensor:
        calls.append(order.seed)
        return images.images ^ 2

    for defender, seeds in ((Defender(flat, draws=False), [0]), (flat, [3, 4])):
        calls.clear()
        done = evaluate(replace(NOISE_ALONE, defenders=(defender,), seeds=(3, 4)))
        assert len(done.records) == 2 and calls == seeds


def test_a_full_disk_is_known_before_any_work(monkeypatch, tmp_path) -> None:
    usage, needed = shutil.disk_usage(tmp_path), 3 * SHAPES.train.images.numel()
    config = replace(NOISE_ALONE, controls=True, seeds=(0, 1), out=tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda _: usage._replace(free=needed - 1))
        patched.setattr(
            "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
        )
        with pytest.raises(TargetError, match=r"sets is to take 0\.5 MiB, and its disk has 0\.5 MiB free"):
            evaluate(config)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=needed))
    assert len(evaluate(replace(config, resume=True)).records) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
@pytest.mark.parametrize("out", [True, False])
def test_a_disk_that_fills_up_is_one_line_with_the_path(out: bool, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = replace(NOISE_ALONE, out=tmp_path / "out" if out else None)
    with (
        pytest.raises(
            TargetError, match=rf"can't write to {tmp_path}/.*sets/noise-.*npy: the disk took only"
        ),
        files_up_to(100000),
    ):
        evaluate(config)


@pytest.mark.parametrize(("first", "exact"), [(1, 1), (2, 0)])
def test_an_interrupted_training_goes_on_at_its_epoch(first: int, exact: int, tmp_path) -> None:
    config = replace(NOISE_ALONE, exploiters=("at-8",), out=tmp_path / "out")

    class Interrupting(Told):
        def epoch(self, number: int, epoch: int, accuracy: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(replace(config, threads=first), Interrupting())
    assert len(list((tmp_path / "out/checkpoints").iterdir())) == 1 and lines(tmp_path / "out") == []
    listener = Told()
    resumed = evaluate(replace(config, resume=True), listener)
    assert listener.epochs == [(0, 2)]
    assert not list((tmp_path / "out/checkpoints").iterdir())
    (record,) = resumed.records
    assert record.deterministic == exact
    if exact:
        assert figures(resumed.records) == figures(evaluate(replace(config, out=None)).records)


@pytest.mark.parametrize("threads", [1, 2])
def test_defenders_keep_to_the_threads(threads: int) -> None:
    seen: list[int] = []

    def mine(images: ImageSet, order: Order) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return images.images

    before = torch.get_num_threads()
    plugin = Plugin(defenders={"mine": mine})
    evaluate(replace(NOISE_ALONE, plugins=(plugin,), defenders=("mine",), threads=threads))
    assert seen == [threads] and torch.get_num_threads() == before


@pytest.mark.parametrize(
    "changes", [{"epsilon": 4}, {"train_images": 20}, {"mix": (50, 50)}, {"preset": "fast"}]
)
def test_a_folder_of_another_configuration_is_refused(changes: dict[str, object], tmp_path) -> None:
    config = replace(NOISE_ALONE, out=tmp_path / "out")
    evaluate(config)
    with pytest.raises(TargetError, match="another configuration"):
        evaluate(replace(config, resume=True, **changes))
    with pytest.raises(TargetError, match="go on with --resume"):
        evaluate(config)
    assert len(lines(tmp_path / "out")) == 1


def test_what_is_named_twice_is_trained_once() -> None:
    config = replace(
        NOISE_ALONE, exploiters=("jpeg", "jpeg-10"), seeds=(0, 0), archs=("fast-conv", "fast-conv")
    )
    reported = Told()
    assert len(evaluate(config, reported).records) == 1
    assert reported.announced == (("noise",), 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_there_is_an_error_of_its_own(device: str) -> None:
    with pytest.raises(DeviceUnavailable, match=rf"the device '{device}'.*take cpu"):
        evaluate(replace(NOISE_ALONE, device=device))


def test_too_many_jobs_are_refused_before_any_work(monkeypatch) -> None:
    monkeypatch.setattr(
        "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
    )
    with pytest.raises(UleError, match="--jobs 99999 needs about"):
        evaluate(replace(NOISE_ALONE, jobs=99999))


def test_nothing_to_train_on() -> None:
    with pytest.raises(NothingToDo, match="--defender"):
        evaluate(replace(NOISE_ALONE, defenders=()))


def test_other_nets_are_trained_by_name() -> None:
    config = replace(NOISE_ALONE, archs=("linear", "mlp", "conv"))
    assert {record.arm.arch for record in evaluate(config).records} == {"linear", "mlp", "conv"}


def arms_of(config: EvaluateConfig, tmp_path: Path) -> dict[str, ImageSet]:
    return {one.name: one.read() for one in TrainingSets(config, SHAPES, tmp_path / "sets").sets()}


def test_part_of_the_images_has_the_same_share_of_each_class(tmp_path) -> None:
    sets = arms_of(replace(NOISE_ALONE, controls=True, train_images=30), tmp_path)
    assert torch.bincount(sets["clean"].labels).tolist() == [3] * 10
    assert torch.equal(sets["clean"].images, SHAPES.train.images[:30])  # classes take turns
    whole = arms_of(replace(NOISE_ALONE, controls=True), tmp_path / "whole")
    assert torch.equal(sets["noise"].images, whole["noise"].images[:30])
    path = poison_file(tmp_path / "others.npy")
    config = replace(NOISE_ALONE, defenders=(), poisons=(path,))
    others = arms_of(replace(config, train_images=30), tmp_path / "others")["others"]
    assert torch.equal(others.images, arms_of(config, tmp_path / "all")["others"].images[:30])
    with pytest.raises(UsageError, match="--train-images is 61"):
        evaluate(replace(NOISE_ALONE, train_images=61))


def test_a_mix_has_clean_and_added_images(tmp_path) -> None:
    sets = arms_of(replace(NOISE_ALONE, controls=True, mix=(25, 50)), tmp_path)
    whole = arms_of(replace(NOISE_ALONE, controls=True), tmp_path / "whole")
    clean = picked(SHAPES.train, 15)
    both = picked(SHAPES.train, 45)
    assert set(clean.tolist()) < set(both.tolist())
    expected = whole["noise"].images.clone()
    expected[clean] = SHAPES.train.images[clean]
    assert torch.equal(sets["noise"].images, expected[both])
    assert torch.equal(sets["clean"].images, SHAPES.train.images[both])
    assert int((sets["noise"].images != sets["clean"].images).flatten(1).any(1).sum()) == 30


def test_a_mix_has_a_row_of_its_clean_share_alone(tmp_path) -> None:
    config = replace(NOISE_ALONE, controls=True, mix=(50, 50), out=tmp_path / "out")
    reported = Told()
    records = {record.arm.poison: record for record in evaluate(config, reported).records}
    assert reported.announced == (("clean-share", "clean", "noise"), 3)
    share = SHAPES.train.subset(picked(SHAPES.train, 30))
    assert records["clean-share"].train_md5 == share.digest
    assert records["clean"].train_md5 == SHAPES.train.digest
    assert (records["clean-share"].n_train, records["clean-share"].epsilon) == (30, 0)
    alone = evaluate(replace(config, mix=None, train_images=30, defenders=(), out=None)).records[0]
    assert alone.test_accuracies == records["clean-share"].test_accuracies
    again = evaluate(replace(config, resume=True)).records
    assert {record.arm.poison: record for record in again} == records
    assert "clean-share" not in arms_of(replace(config, controls=False), tmp_path / "without")


def test_a_clean_share_must_fill_a_batch() -> None:
    with pytest.raises(UsageError, match="15 training images don't fill a batch of 20"):
        evaluate(replace(NOISE_ALONE, controls=True, mix=(25, 75)), Told())


def test_labels_of_a_file_are_trained_on_but_for_the_clean_part_of_a_mix(tmp_path) -> None:
    labels = (SHAPES.train.labels + 1) % 10
    np.savez(tmp_path / "theirs.npz", images=SHAPES.train.images.numpy() ^ 1, labels=labels.numpy())
    config = replace(NOISE_ALONE, defenders=(), poisons=(tmp_path / "theirs.npz",))
    (whole,) = TrainingSets(config, SHAPES, tmp_path / "sets").sets()
    assert torch.equal(whole.read().labels, labels)
    assert whole.audit is not None and whole.audit["labels_differ"] == 1
    mixed = arms_of(replace(config, mix=(50, 50)), tmp_path / "mixed")["theirs"]
    clean = picked(SHAPES.train, 30)
    assert torch.equal(mixed.labels[clean], SHAPES.train.labels[clean])
    assert int((mixed.labels == labels).sum()) == 30


def test_a_file_in_an_order_of_its_own_is_the_set_it_was_made_from(tmp_path) -> None:
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    np.savez(
        tmp_path / "own.npz", x=SHAPES.train.images.numpy()[order] ^ 1, y=SHAPES.train.labels.numpy()[order]
    )
    config = replace(NOISE_ALONE, defenders=(), poisons=(tmp_path / "own.npz",))
    (record,) = evaluate(config).records
    assert record.train_md5 == replace(SHAPES.train, images=SHAPES.train.images ^ 1).digest
    assert record.audit["misplaced"] == record.audit["labels_differ"] == 0


def test_a_mix_of_less_than_an_image_is_not_all_clean(tmp_path) -> None:
    sets = arms_of(replace(NOISE_ALONE, controls=True, mix=(1, 99)), tmp_path / "one")
    changed = (sets["noise"].images != sets["clean"].images).flatten(1).any(1)
    assert len(changed) == 60 and int(changed.sum()) == 59
    few = replace(SHAPES, train=SHAPES.train.subset(range(40)))
    config = replace(NOISE_ALONE, mix=(1, 99))
    (noise,) = [one.read() for one in TrainingSets(config, few, tmp_path / "few").sets()]
    assert int((noise.images != few.train.images).flatten(1).any(1).sum()) == 39


def test_validation_images_are_in_no_training_set(tmp_path) -> None:
    held = validation_places(SHAPES.train, 0.35)
    left = torch.tensor([place for place in range(60) if place not in set(held.tolist())])
    path = poison_file(tmp_path / "others.npy")
    config = replace(NOISE_ALONE, controls=True, poisons=(path,), defenders=("cifar-linear",))
    sets = arms_of(replace(config, validation=0.35), tmp_path / "some")
    whole = arms_of(config, tmp_path / "all")
    assert len(held) == 20 and set(sets) == set(whole)  # ten classes of six images, two of each
    for name, images in sets.items():
        assert images.digest == whole[name].subset(left).digest
    few = arms_of(replace(config, validation=0.35, train_images=20), tmp_path / "few")
    assert torch.equal(few["clean"].images, SHAPES.train.images[picked(SHAPES.train, 20, held)])
    assert not set(picked(SHAPES.train, 20, held).tolist()) & set(held.tolist())
    mixed = arms_of(replace(config, validation=0.35, mix=(25, 25)), tmp_path / "mixed")
    assert mixed["clean-share"].digest == SHAPES.train.subset(picked(SHAPES.train, 15, held)).digest
    with pytest.raises(UsageError, match="--validation leaves 40 images to train on, fewer than the 60"):
        evaluate(replace(config, validation=0.35, mix=(50, 50)), Told())


@pytest.mark.parametrize("jobs", [1, 2])
def test_exploiters_stop_by_validation_images(jobs: int, tmp_path) -> None:
    config = replace(
        NOISE_ALONE, exploiters=("standard", "gray"), validation=0.35, out=tmp_path / "out", jobs=jobs
    )
    records = evaluate(replace(config, threads=jobs)).records
    held = validation_places(SHAPES.train, 0.35)
    own = SHAPES.train.subset(held)
    left = torch.ones(60, dtype=torch.bool).index_fill(0, held, False)
    noisy = defend("noise", SHAPES.train).subset(left)
    for record in records:
        measure = find_exploiter(record.arm.exploiter)
        by_hand = train_exploiter(noisy, SHAPES.test, SMALL, measure, 0, validation=own)
        assert record.validation_accuracies == by_hand.validation_accuracies != ()
        assert (record.stopped, record.peak) == (by_hand.stopped, by_hand.peak)
        assert (record.n_train, record.n_validation, record.train_md5) == (40, 20, noisy.digest)
        assert record.config["validation"] == 0.35
    assert evaluate(replace(config, resume=True)).records == records
    with pytest.raises(TargetError, match="another configuration"):
        evaluate(replace(config, resume=True, validation=0.0))


def test_picked_spreads_over_classes() -> None:
    skewed = SHAPES.train.subset(torch.tensor([0] * 8 + [1] * 4))
    chosen = picked(skewed, 6)
    assert torch.bincount(skewed.labels[chosen]).tolist() == [4, 2]
    assert picked(skewed, 0).tolist() == list(range(12))


def test_a_poison_from_a_file_is_audited_and_trained_on(tmp_path) -> None:
    path = poison_file(tmp_path / "others.npy")
    config = replace(NOISE_ALONE, defenders=(), poisons=(path,), out=tmp_path / "out")
    (record,) = evaluate(config).records
    images = (SHAPES.train.images.numpy().astype(np.int16) + delta()).clip(0, 255).astype(np.uint8)
    change = images.astype(np.int16) - SHAPES.train.images.numpy()
    assert record.arm.poison == "others"
    assert record.train_md5 == replace(SHAPES.train, images=torch.from_numpy(images)).digest
    assert record.audit["max_change"] == 4
    assert record.audit["mean_amplitude"] == pytest.approx(np.abs(change).mean((0, 2, 3)).tolist())
    assert record.audit["negative_share"] == pytest.approx((change < 0).sum() / (change != 0).sum())
    assert record.audit["source"] == str(path) and "perturbation" in record.audit["kind"]
    assert not record.warnings
    (again,) = evaluate(replace(config, resume=True)).records
    assert again == record


def test_a_poison_beyond_its_bound_is_warned_of(tmp_path) -> None:
    config = replace(NOISE_ALONE, defenders=(), poisons=(poison_file(tmp_path / "x.npy"),), epsilon=2)
    (record,) = evaluate(config).records
    assert any("up to 4 levels, more than epsilon 2" in warning for warning in record.warnings)


def test_poisons_never_bear_the_name_of_another_arm(tmp_path) -> None:
    names = ("noise.npy", "clean.npy", "cifar.npy", "a/x.npy", "b/x.npy", "y.npy")
    paths = tuple(poison_file(tmp_path / name, seed) for seed, name in enumerate(names))
    reported = poison_names(paths)
    assert reported[paths[-1]] == "y"
    assert all(reported[path] == f"poison {path}" for path in paths[:-1])
    config = replace(NOISE_ALONE, controls=True, defenders=("cifar",), poisons=paths)
    records = evaluate(config).records
    assert len({record.arm.poison for record in records}) == len(records) == 9
    assert len({record.train_md5 for record in records}) == 9


def test_a_broken_poison_is_told_before_any_work(tmp_path, monkeypatch) -> None:
    values = delta() / 255
    values[7, 0, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", values)
    monkeypatch.setattr(
        "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
    )
    with pytest.raises(UleError, match="NaN or infinity, first in image 7"):
        evaluate(replace(NOISE_ALONE, controls=True, poisons=(tmp_path / "nan.npy",)))


def test_too_few_images_for_a_batch_are_told_before_any_training() -> None:
    reported = Told()
    with pytest.raises(UsageError, match="10 training images don't fill a batch of 20"):
        evaluate(replace(NOISE_ALONE, train_images=10), reported)
    assert reported.plan == []


def photo_tree(root: Path, shift: int = 0, suffix: str = ".png") -> Path:
    """Two classes of 8 pictures to train on and 4 to test on, 80 x 60, brighter by `shift` levels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(("cats", "dogs")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = rng.integers(60, 180, (6, 8, 3)) + 20 * label
                pixels = (coarse.repeat(10, 0).repeat(10, 1) + shift).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}{suffix}")
    return root


def photo_config(tmp_path: Path, **changes: object) -> EvaluateConfig:
    clean, protected = photo_tree(tmp_path / "scenes"), photo_tree(tmp_path / "protected", 6)
    return replace(
        NOISE_ALONE, defenders=(), dataset=str(clean), protected=protected, size=64, threads=1, **changes
    )


def test_photos_are_squeezed_to_what_a_defender_protects(tmp_path, monkeypatch) -> None:
    hasty = replace(RECIPES["uleo-linear"], batches=2, batch_size=8)
    monkeypatch.setitem(RECIPES, "uleo-linear", hasty)
    config = replace(photo_config(tmp_path), protected=None, defenders=("noise", "uleo-linear"), size=0)
    for path in list((tmp_path / "scenes/train").rglob("*.png")):
        path.with_name(f"again {path.name}").write_bytes(path.read_bytes())  # 32 fill a batch
    done = evaluate(config)
    assert [record.audit["shape"] for record in done.records] == [[3, 32, 32]] * 2
    assert done.notes == (
        "photos are squeezed to 32 x 32, the size that uleo-linear protects; --protected judges larger ones "
        "that `ulecli protect` wrote",
    )
    assert not evaluate(replace(config, defenders=("noise",), size=32)).notes
    with pytest.raises(UsageError, match=r"'uleo-linear' protects images of 32 x 32, not 64 x 64.*--size 32"):
        replace(config, size=64)


def test_photos_all_protected(tmp_path) -> None:
    config = photo_config(tmp_path, controls=True, out=tmp_path / "out")
    clean, noise, equal, protected = evaluate(config).records
    names = [one.arm.poison for one in (clean, noise, equal, protected)]
    assert names == ["clean", "noise", "noise-mean", "protected"]
    assert {one.arm.dataset for one in (clean, noise, equal, protected)} == {"scenes"}
    assert (protected.n_train, protected.n_test, protected.classes) == (16, 8, ("cats", "dogs"))
    assert protected.audit["max_change"] == 6 and protected.audit["changed_share"] == 1
    assert protected.config["augment"]["sizes"] == [64]
    assert clean.audit is None
    assert noise.audit["max_change"] <= 8 and noise.audit["changed_share"] == 1  # PNG keeps the bound
    assert np.ptp(noise.audit["mean_amplitude"]) < 0.05  # tied across RGB, but for rounding
    assert mean_of(noise) < 6  # signs lose more than half when they are interpolated and squeezed
    assert mean_of(equal) == pytest.approx(mean_of(protected), rel=0.02)
    assert equal.epsilon > 8
    assert any("levels, more than epsilon 8" in warning for warning in equal.warnings)


def mean_of(record: RunRecord) -> float:
    return float(np.mean(record.audit["mean_amplitude"]))


def test_photo_controls_are_kept(tmp_path, monkeypatch) -> None:
    config = photo_config(tmp_path, controls=True, out=tmp_path / "out")
    first = evaluate(config).records
    monkeypatch.setattr(
        "ulecli.evaluation.poisons.photo_noise.store_with", lambda *_: pytest.fail("made again")
    )
    again = evaluate(replace(config, resume=True, seeds=(0, 1))).records
    assert [one.train_md5 for one in again[:4]] == [one.train_md5 for one in first]
    assert [one.train_md5 for one in again[4:]] == [one.train_md5 for one in first]


def test_photo_controls_follow_the_picked_photos(tmp_path) -> None:
    config = photo_config(tmp_path, controls=True)
    data = photo_data(config)
    whole = {one.name: one.read() for one in TrainingSets(config, data, tmp_path / "whole").sets()}
    few = replace(config, train_images=8, only=("cats",))
    builder = TrainingSets(few, data, tmp_path / "few")
    part = {one.name: one.read() for one in builder.sets()}
    assert tuple(part) == builder.names() == ("clean", "noise", "noise-mean", "protected cats")
    cats, dogs = torch.arange(0, 4), torch.arange(4, 8)
    assert torch.equal(part["noise"].images[cats], whole["noise"].images[cats])
    for name in ("noise", "noise-mean", "protected cats"):
        assert torch.equal(part[name].images[dogs], part["clean"].images[dogs])
    change = {name: part[name].images[cats].to(torch.int16) - part["clean"].images[cats] for name in part}
    means = {name: float(values.abs().float().mean()) for name, values in change.items()}
    assert means["noise-mean"] == pytest.approx(means["protected cats"], rel=0.02)


def test_photos_that_nobody_protected_are_warned_of(tmp_path) -> None:
    config = photo_config(tmp_path)
    (same,) = evaluate(replace(config, protected=Path(config.dataset))).records
    untouched = replace(config, protected=Path(config.dataset), controls=True)
    assert [one.arm.poison for one in evaluate(untouched).records] == ["clean", "noise", "protected"]
    assert [one for one in same.warnings if "changes nothing" in one]
    (protected,) = evaluate(config).records
    assert not protected.warnings


def test_photos_of_one_class_after_an_upload(tmp_path) -> None:
    config = photo_config(tmp_path, only=("dogs",), upload=Upload.parse("70:q80"))
    _, noise, equal, protected = evaluate(replace(config, controls=True)).records
    assert noise.audit["changed_share"] == equal.audit["changed_share"] == 0.5
    assert not (*noise.warnings, *protected.warnings)
    assert mean_of(equal) == pytest.approx(mean_of(protected), rel=0.02)
    assert protected.arm.poison == "protected dogs"
    assert protected.audit["changed_share"] == 0.5
    assert len(protected.recalls) == 2
    (plain,) = evaluate(replace(config, upload=Upload())).records
    assert plain.train_md5 != protected.train_md5  # both trees went through the upload
    assert plain.audit["max_change"] == 6


def test_photos_that_can_not_be_used(tmp_path) -> None:
    config = photo_config(tmp_path)
    with pytest.raises(UsageError, match="no class 'dog', only cats, dogs; did you mean dogs"):
        evaluate(replace(config, only=("dog",)))
    (tmp_path / "protected" / "train" / "cats" / "3.png").unlink()
    with pytest.raises(UleError, match=r"lacks cats/3\.png"):
        evaluate(config)
    with pytest.raises(UleError, match="two folders, train and test"):
        evaluate(replace(config, dataset=str(tmp_path / "scenes" / "train")))
    with pytest.raises(NoSuchPath, match=r"no folder .*sceens; name that of the photos"):
        evaluate(replace(config, dataset=str(tmp_path / "sceens")))


def test_a_test_set_that_was_trained_on_is_noted(monkeypatch) -> None:
    leaking = replace(SHAPES, test=SHAPES.train.subset(range(30)))
    monkeypatch.setattr("ulecli.evaluation.run.open_dataset", lambda *_, **__: leaking)
    notes = evaluate(NOISE_ALONE).notes
    assert any("30 of 30 test images are training images" in note for note in notes)


def test_records_tell_what_is_measured(tmp_path) -> None:
    record = evaluate(NOISE_ALONE).records[0]
    assert isinstance(record, RunRecord)
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
