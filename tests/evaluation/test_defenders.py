from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import UsageError
from ulecli.evaluation.crafted import METHOD_OF
from ulecli.evaluation.defenders import (
    check_defender,
    defend,
    defender_names,
    is_fixed,
)
from ulecli.evaluation.own_surrogates import find_surrogate
from ulecli.perturb.sets import set_delta
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.feature_recipe import FEATURE_RECIPES
from ulecli.surrogates.recipe import RECIPES, find_recipe
from ulecli.surrogates.weights import load_net

pytestmark = pytest.mark.usefixtures("one_thread")

CLEAN = shapes(40)
MIDDLE = replace(CLEAN, images=CLEAN.images.clamp(40, 215))
"""No value is cut off at black or white."""


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Recipes of three batches."""
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, replace(recipe, batches=3, batch_size=20))


def change(protected: ImageSet, clean: ImageSet) -> torch.Tensor:
    assert torch.equal(protected.labels, clean.labels) and protected.classes == clean.classes
    assert protected.images.dtype == torch.uint8
    return protected.images.to(torch.int16) - clean.images


def two_classes(images: ImageSet) -> ImageSet:
    return replace(images.subset(images.labels < 2), classes=images.classes[:2])


def test_names_are_noise_every_recipe_of_data_sets_and_every_method_of_crafting() -> None:
    plain = defender_names(classwise=False)
    assert plain[0] == "noise" and "photo" not in plain
    assert set(plain[1:]) == {*RECIPES, *METHOD_OF} and not RECIPES.keys() & FEATURE_RECIPES.keys()
    classwise = [name for name in plain if name not in ("advpois", "error-max")]
    assert defender_names() == (*plain, *(f"{name}-classwise" for name in classwise))
    assert all(check_defender(name) == name for name in defender_names())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifra", r"no defender 'cifra', only noise, .*; did you mean cifar\?"),
        ("photo", "no defender 'photo'"),
        ("noise-classwise-classwise", "no defender"),
        ("", "no defender ''"),
        ("uleo@resnet-18", "no net 'resnet-18'.*did you mean resnet18"),
        ("ulo@resnet18", r"no defender 'ulo', only noise, .*, each also with @NET or -classwise"),
        ("photo@resnet18", "no defender 'photo'"),
        ("noise@resnet18", "'noise' can't be put on another net: write it as in uleo-grayaugs@resnet18"),
        ("uleo-classwise@mlp", "'uleo-classwise' can't be put on another net"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        defend(name, CLEAN)


@pytest.mark.parametrize("epsilon", [0, 33, -8])
def test_bounds_out_of_range(epsilon: int) -> None:
    with pytest.raises(UsageError, match="--eps"):
        defend("noise", CLEAN, epsilon=epsilon)


@pytest.mark.parametrize("epsilon", [1, 8, 32])
def test_noise_is_signs_at_the_bound_tied_across_rgb(epsilon: int) -> None:
    before = MIDDLE.images.clone()
    delta = change(defend("noise", MIDDLE, epsilon=epsilon), MIDDLE)
    assert torch.equal(MIDDLE.images, before)
    assert set(delta.unique().tolist()) == {-epsilon, epsilon}
    assert torch.equal(delta, delta[:, :1].expand_as(delta))
    assert abs(delta[:, 0].float().mean()) < 5 * epsilon / delta[:, 0].numel() ** 0.5
    assert not torch.equal(delta[0], delta[10])  # of one class


def test_values_are_clamped_not_wrapped() -> None:
    edges = replace(CLEAN, images=torch.where(CLEAN.images < 128, 0, 255).to(torch.uint8))
    delta = change(defend("noise", edges), edges)
    assert set(delta.unique().tolist()) == {-8, 0, 8}
    assert set((edges.images + delta).unique().tolist()) == {0, 8, 247, 255}


def test_classwise_noise_is_equal_within_a_class_and_differs_between() -> None:
    delta = change(defend("noise-classwise", MIDDLE), MIDDLE)
    for label in range(10):
        own = delta[MIDDLE.labels == label]
        assert torch.equal(own, own[:1].expand_as(own))
    assert len(torch.unique(delta.flatten(1), dim=0)) == 10


def test_the_seed_decides_noise() -> None:
    first, again, other = (defend("noise", CLEAN, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_surrogate_of_the_shelf_protects_sets_of_as_many_classes() -> None:
    reported: list[tuple[str, int, int]] = []
    protected = defend("cifar-linear", MIDDLE, progress=lambda *news: reported.append(news))
    assert reported[-1] == ("protecting", 40, 40) and {what for what, *_ in reported} == {"protecting"}
    settings = PgdSettings.from_card(store.load_card("cifar-linear").protocol["pgd"])
    delta = set_delta(load_net("cifar-linear"), MIDDLE.images, MIDDLE.labels, settings)
    assert torch.equal(change(protected, MIDDLE), delta.expand(-1, 3, -1, -1))
    surrogate = find_surrogate("cifar-linear", MIDDLE)
    known = store.load_card("cifar-linear").files["cifar-linear.safetensors"]
    assert surrogate.label == known.sha256[:8]
    assert not any(weight.requires_grad for weight in surrogate.net.parameters())


@pytest.mark.parametrize("epsilon", [4, 8])
@pytest.mark.parametrize("name", ["cifar-linear", "cifar-linear-classwise"])
def test_epsilon_is_kept_and_reached(name: str, epsilon: int) -> None:
    delta = change(defend(name, MIDDLE, epsilon=epsilon), MIDDLE)
    assert delta.abs().max() == epsilon
    assert torch.equal(delta, delta[:, :1].expand_as(delta))
    if name.endswith("classwise"):
        for label in range(10):
            own = delta[MIDDLE.labels == label]
            assert torch.equal(own, own[:1].expand_as(own))


def test_a_surrogate_is_trained_where_the_set_has_other_classes(hasty) -> None:
    images = two_classes(MIDDLE)
    reported: list[tuple[str, int, int]] = []
    protected = defend("cifar-linear", images, seed=1, progress=lambda *news: reported.append(news))
    assert [news for news in reported if news[0] == "training"] == [
        ("training", 1, 3),
        ("training", 2, 3),
        ("training", 3, 3),
    ]
    assert 0 < change(protected, images).abs().max() <= 8
    assert torch.equal(defend("cifar-linear", images, seed=1).images, protected.images)
    assert find_surrogate("cifar-linear", images, 1).label == f"trained on {images.digest[:8]}, seed 1"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_protects(name: str, hasty, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ULECLI_MODELS", str(tmp_path))  # nothing is bundled there: all are trained
    for each in (name, f"{name}-classwise"):
        delta = change(defend(each, MIDDLE), MIDDLE)
        assert 0 < delta.abs().max() <= 8
        gray = RECIPES[name].protection.gray
        assert torch.equal(delta, delta[:, :1].expand_as(delta)) == gray


def test_a_surrogate_may_be_another_net(hasty) -> None:
    assert find_surrogate("cifar-linear@mlp", CLEAN).label.startswith("trained on")
    assert not is_fixed("cifar-linear@mlp", 10) and is_fixed("cifar-linear", 10)
    for name in ("uleo-linear@mlp", "uleo-linear@mlp-classwise"):
        assert 0 < change(defend(name, MIDDLE), MIDDLE).abs().max() <= 8
    # The recipes differ by their nets alone, and by the rate.
    same = replace(RECIPES["uleo-linear"], purpose="", rate=0, net={}) == replace(
        RECIPES["uleo-mlp"], purpose="", rate=0, net={}
    )
    assert same and find_recipe("uleo-linear@mlp") == replace(RECIPES["uleo-linear"], net={"name": "mlp"})


def test_an_interrupted_training_is_taken_up(hasty, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ulecli.surrogates.min_min_training.CHECKPOINT_EVERY", 1)
    images = two_classes(MIDDLE)
    whole = defend("uleo-linear", images)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where the trained net is not kept

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        defend("uleo-linear", images, checkpoints=tmp_path, progress=stop)
    reported: list[int] = []
    resumed = defend(
        "uleo-linear",
        images,
        checkpoints=tmp_path,
        progress=lambda what, done, total: reported.append(done) if what == "training" else None,
    )
    assert reported[0] > 1 and reported[-1] == 3
    assert torch.equal(resumed.images, whole.images)
    assert not list(tmp_path.glob("*.checkpoint"))  # the net itself is kept now


@pytest.mark.parametrize("name", ["noise", "noise-classwise", "cifar-linear", "cifar-linear-classwise"])
def test_chosen_images_get_what_they_get_among_all(name: str) -> None:
    chosen = torch.tensor([3, 17, 18, 39])
    reported: list[tuple[str, int, int]] = []
    some = defend(name, MIDDLE, chosen=chosen, progress=lambda *news: reported.append(news))
    assert torch.equal(some.images, defend(name, MIDDLE).images[chosen])
    assert torch.equal(some.labels, MIDDLE.labels[chosen]) and some.classes == MIDDLE.classes
    assert reported == ([("protecting", 4, 4)] if name == "cifar-linear" else [])  # the others cost nothing


def test_images_of_another_size_are_refused() -> None:
    large = replace(CLEAN, images=CLEAN.images.repeat(1, 1, 2, 2))
    with pytest.raises(UsageError, match="32 x 32, not 64 x 64"):
        defend("cifar", large)
    assert defend("noise", large).images.shape == large.images.shape
