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
from ulecli.perturb.sets import set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import min_min_training, store
from ulecli.surrogates.export import write_surrogate
from ulecli.surrogates.min_min_training import Training
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.photo_perturber import LUMA
from ulecli.surrogates.recipe import RECIPES, Recipe, find_recipe
from ulecli.surrogates.training_images import WorkingImages
from ulecli.surrogates.weights import load_net
from ulecli.system.devices import Device
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
    recipe = replace(TINY, guided=0.5, random_labels=0.7, mosaic=0.5, families=2)
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
    """A store with one surrogate, `tiny`, of two nets with four codes each."""
    recipe = replace(TINY, families=2, guided=0.5, random_labels=1.0)
    training = train(recipe, pictures)
    other = Training(recipe, pictures, seed=0, device=CPU, family=1)
    write_surrogate(
        "tiny",
        [training.net, other.run()],
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
    images = np.repeat(pictures.images[:5].numpy() / 255, 1, axis=0).astype(np.float32)
    codes, aspects = np.array([0, 6, 3, 3, 5]), np.array([1, 1.5, 0.7, 1, 3], np.float32)
    found = [
        open_perturber("tiny", device=Device.CPU, backend=backend)(images, codes, aspects, epsilon=8)
        for backend in ("onnxruntime", "torch")
    ]
    assert found[0].shape == (5, 1, 16, 16)
    assert found[0].dtype == np.int8
    assert np.abs(found[0]).max() <= 8
    assert found[0].min() < 0 < found[0].max()
    # The torch backend computes in bfloat16 on the CPU: single cells differ, the cue is the same.
    gray = torch.from_numpy(np.einsum("nchw,c->nhw", images, LUMA)[:, None].astype(np.float32))

    def losses(delta: np.ndarray) -> torch.Tensor:
        shown = (gray + torch.from_numpy(delta) / 255).clip(0, 1)
        answers = [load_net("tiny", int(code) // 4)(shown[n : n + 1]) for n, code in enumerate(codes)]
        return torch.nn.functional.cross_entropy(torch.cat(answers), torch.from_numpy(codes % 4))

    ours, theirs, clean = losses(found[0]), losses(found[1]), losses(np.zeros_like(found[0]))
    assert ours < 0.8 * clean
    assert ours.item() == pytest.approx(theirs.item(), rel=0.1)


def test_a_set_is_protected_within_epsilon(shelved: Path, pictures) -> None:
    settings = PgdSettings.from_card(store.load_card("tiny").protocol["pgd"])
    delta = set_delta(load_net("tiny"), pictures.images, pictures.labels, settings, epsilon=4)
    assert delta.shape == (64, 1, 16, 16) and delta.dtype == torch.int16
    assert (delta.min(), delta.max()) == (-4, 4)


def test_tampered_weights_are_refused_by_both_backends(shelved: Path) -> None:
    for suffix, backend in ((".0.onnx", "onnxruntime"), (".safetensors", "torch")):
        path = shelved / f"tiny{suffix}"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="was changed"):
            open_perturber("tiny", device=Device.CPU, backend=backend)


def test_the_card_tells_how_it_was_made(shelved: Path) -> None:
    card = json.loads((shelved / "tiny.json").read_text())
    assert card["protocol"]["variant"] == "ULEO-GrayAugs"
    assert card["protocol"]["made_by"]["random_labels"] == 1.0
    assert store.load_card("tiny").net["classes"] == 4


def test_a_mosaic_is_made_of_stored_images() -> None:
    stored = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 8, 8) * 50
    plain = ViewPolicy(sizes=(16,), area=(1.0, 1.0), ratio=1.0, flip=0.0)
    images = WorkingImages(stored, plain, channels=1, device=CPU)
    made = images.batch(torch.tensor([1, 4]), np.random.default_rng(0), tiles=2)
    assert made.shape == (2, 1, 16, 16)
    corners = (made[:, 0, ::15, ::15] * 255).round()
    assert corners[0, 0, 0] == 50
    assert corners[1, 0, 0] == 200
    assert set(corners.flatten().tolist()) <= {0.0, 50.0, 100.0, 150.0, 200.0}


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
