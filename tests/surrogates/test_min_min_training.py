"""Training, writing and using a surrogate, on a tiny net and tiny pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.errors import ModelError, UleError, UsageError
from ulecli.perturb.onnx_gradients import OnnxGradients
from ulecli.perturb.pgd import minimise, views_of
from ulecli.perturb.sets import set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.perturb.torch_gradients import gradients_of
from ulecli.surrogates import min_min_training, store
from ulecli.surrogates.export import write_surrogate
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.recipe import RECIPES, Recipe, find_recipe
from ulecli.surrogates.training_images import WorkingImages
from ulecli.surrogates.weights import load_net
from ulecli.transforms.gray import gray
from ulecli.transforms.views import ViewPolicy

CPU = torch.device("cpu")

TINY = Recipe(
    purpose="a test",
    net={"name": "conv", "stem": 8, "widths": (8, 16)},
    grid=16,
    source=ViewPolicy(sizes=(16,), area=(0.5, 1.0)),
    training=PgdSettings(steps=3, random_start=True, augment=ViewPolicy(sizes=(16,), area=(0.7, 1.0))),
    protection=PgdSettings(steps=6, augment=ViewPolicy(sizes=(16,), area=(0.7, 1.0))),
    batches=30,
    batch_size=32,
    rate=0.05,
    first_epsilon=16.0,
)


@pytest.fixture(scope="module")
def pictures() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(64) % 4, ("a", "b", "c", "d"))


def train(recipe: Recipe, pictures: ImageSet, **kwargs) -> Training:
    training = Training(recipe, pictures, seed=0, device=CPU)
    training.run(**kwargs)
    return training


def weights(training: Training) -> list[torch.Tensor]:
    return list(training.net.state_dict().values())


def test_training_finds_a_cue_for_labels_that_have_nothing_to_do_with_the_images(pictures) -> None:
    training = train(replace(TINY, guided=0.0, random_labels=1.0, batches=60), pictures)
    assert training.accuracy > 0.5  # a guess is right in 0.25


def test_training_is_deterministic_and_can_be_interrupted(pictures, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.surrogates.min_min_training.CHECKPOINT_EVERY", 10)
    recipe = replace(TINY, guided=0.5, random_labels=0.7)
    whole = train(recipe, pictures)

    def stop_after_12(done: int, loss: float, accuracy: float) -> None:
        if done == 12:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "it.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, pictures, checkpoint=checkpoint, progress=stop_after_12)
    steps: list[int] = []
    taken_up = train(
        recipe, pictures, checkpoint=checkpoint, progress=lambda done, loss, accuracy: steps.append(done)
    )
    assert steps[0] == 11
    for ours, theirs in zip(weights(taken_up), weights(whole), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    darker = replace(pictures, images=pictures.images // 2)
    for other, data in ((replace(recipe, rate=0.1), pictures), (recipe, darker)):
        with pytest.raises(UsageError, match="another recipe or seed or other pictures"):
            train(other, data, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(UleError, match="damaged"):
        train(recipe, pictures, checkpoint=checkpoint)


def test_slow_steps_are_kept_before_there_are_many(pictures, tmp_path: Path, monkeypatch) -> None:
    clock = iter(range(0, 10_000, 8))  # seconds: the second look after a checkpoint is 16 later
    monkeypatch.setattr(min_min_training, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    def stop_after_5(done: int, loss: float, accuracy: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "it.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(TINY, pictures, checkpoint=checkpoint, progress=stop_after_5)
    steps: list[int] = []
    train(TINY, pictures, checkpoint=checkpoint, progress=lambda done, *_: steps.append(done))
    assert steps[0] == 5  # the fourth was kept, long before the hundredth


def test_one_class_has_nothing_to_tell_apart(pictures) -> None:
    alone = ImageSet(pictures.images, torch.zeros(64, dtype=torch.int64), ("a",))
    with pytest.raises(UsageError, match="two classes"):
        train(TINY, alone)


@pytest.fixture
def shelved(pictures, tmp_path: Path, monkeypatch) -> Path:
    """A store with one surrogate, `tiny`."""
    recipe = replace(TINY, guided=0.5, random_labels=1.0)
    training = train(recipe, pictures)
    write_surrogate(
        "tiny",
        training.net,
        recipe,
        tmp_path,
        classes=training.classes,
        data="noise",
        command="ulecli surrogate train tiny",
        seed=0,
        device="cpu",
        accuracy=training.accuracy,
    )
    monkeypatch.setenv("ULECLI_MODELS", str(tmp_path))
    return tmp_path


def test_both_backends_of_a_shelved_surrogate_give_the_same_delta(shelved: Path, pictures) -> None:
    levels, labels = pictures.images[:5], np.array([0, 2, 3, 3, 1])
    images = gray(levels.float() / 255).numpy()
    settings, net = PgdSettings.from_card(store.load_card("tiny").protocol["pgd"]), load_net("tiny")
    found = []
    for surrogate in (OnnxGradients(store.verified_bytes("tiny", ".0.onnx")), gradients_of(net, CPU)):
        rng = np.random.default_rng(0)
        shown, targets = surrogate.asarray(images), surrogate.asarray(labels)
        views = views_of(settings, rng, 5, 16)
        delta = minimise(surrogate, shown, targets, settings, views, epsilon=8 / 255, rng=rng)
        found.append(np.rint(surrogate.asnumpy(delta) * 255))
    assert found[0].shape == (5, 1, 16, 16)
    assert np.abs(found[0]).max() <= 8
    assert found[0].min() < 0 < found[0].max()

    # The torch backend computes in bfloat16 on the CPU: single cells differ, the cue is the same.
    def loss(delta: np.ndarray) -> torch.Tensor:
        moved = torch.from_numpy((images + delta / 255).clip(0, 1).astype(np.float32))
        return torch.nn.functional.cross_entropy(net(moved), torch.from_numpy(labels))

    ours, theirs, clean = loss(found[0]), loss(found[1]), loss(np.zeros_like(found[0]))
    assert ours < 0.8 * clean
    assert ours.item() == pytest.approx(theirs.item(), rel=0.1)


def test_a_set_is_protected_within_epsilon(shelved: Path, pictures) -> None:
    settings = PgdSettings.from_card(store.load_card("tiny").protocol["pgd"])
    delta = set_delta(load_net("tiny"), pictures.images, pictures.labels, settings, epsilon=4)
    assert delta.shape == (64, 1, 16, 16) and delta.dtype == torch.int16
    assert (delta.min(), delta.max()) == (-4, 4)


def test_tampered_weights_and_graphs_are_refused(shelved: Path) -> None:
    for suffix, use in (
        (".0.onnx", lambda: store.verified_bytes("tiny", ".0.onnx")),
        (".safetensors", lambda: load_net("tiny")),
    ):
        path = shelved / f"tiny{suffix}"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="was changed"):
            use()


def test_the_card_tells_how_it_was_made(shelved: Path) -> None:
    card = json.loads((shelved / "tiny.json").read_text())
    assert card["protocol"]["variant"] == "ULEO-GrayAugs"
    assert card["protocol"]["made_by"]["random_labels"] == 1.0
    assert store.load_card("tiny").net["classes"] == 4


def test_working_images_are_the_stored_ones_at_the_side_of_the_policy() -> None:
    stored = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 8, 8) * 50
    plain = ViewPolicy(sizes=(16,), area=(1.0, 1.0), ratio=1.0, flip=0.0)
    for channels in (1, 3):
        images = WorkingImages(stored, plain, channels=channels, device=CPU)
        made = images.batch(torch.tensor([1, 4]), np.random.default_rng(0))
        assert made.shape == (2, channels, 16, 16) and images.count == 5
        assert set((made[0] * 255).round().flatten().tolist()) == {50.0}
        assert set((made[1] * 255).round().flatten().tolist()) == {200.0}


def test_recipes_are_consistent_and_found_by_name() -> None:
    forms = {"uleo": "ULEO", "uleo-augs": "ULEO-Augs", "uleo-linear": "ULEO", "uleo-mlp": "ULEO"}
    for name in RECIPES:
        variant = find_recipe(name).protection.variant
        assert variant == forms.get(name, variant)
        assert name in forms or variant in {"ULEO-Grays", "ULEO-GrayAugs"}
    with pytest.raises(UsageError, match="did you mean cifar-linear"):
        find_recipe("cifar-linaer")
    with pytest.raises(UsageError, match="grid"):
        replace(TINY, grid=32)
    with pytest.raises(UsageError, match="shares"):
        replace(TINY, guided=2.0)
