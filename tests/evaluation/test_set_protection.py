from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ulecli.perturb.sets
from ulecli.data.shapes import shapes
from ulecli.evaluation.own_surrogates import find_surrogate
from ulecli.evaluation.set_protection import FROM_CACHE, SetProtection

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = shapes(40)

Change = Callable[[SetProtection], SetProtection]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def protection() -> SetProtection:
    return SetProtection(find_surrogate("cifar-linear", IMAGES), IMAGES, 8, 0, "cpu")


def made(one: SetProtection) -> tuple[torch.Tensor, set[str]]:
    """Return what is added, and what was reported to be done."""
    reported: list[str] = []
    delta = one.delta(None, lambda what, done, total: reported.append(what))
    return delta, set(reported)


def test_it_is_made_once() -> None:
    assert not protection().is_kept()
    first, reported = made(protection())
    assert reported == {"protecting"} and protection().is_kept()
    again, reported = made(protection())
    assert reported == {FROM_CACHE} and torch.equal(again, first) and again.dtype == first.dtype


def other_weights(one: SetProtection) -> SetProtection:
    net = find_surrogate("cifar-linear", IMAGES).net
    with torch.no_grad():
        next(net.parameters()).mul_(-1)
    return replace(one, surrogate=replace(one.surrogate, net=net))


def other_settings(one: SetProtection) -> SetProtection:
    return replace(one, surrogate=replace(one.surrogate, settings=replace(one.surrogate.settings, steps=3)))


def one_pixel(one: SetProtection) -> SetProtection:
    images = IMAGES.images.clone()
    images[7, 0, 3, 4] ^= 1
    return replace(one, images=replace(IMAGES, images=images))


def one_label(one: SetProtection) -> SetProtection:
    labels = IMAGES.labels.clone()
    labels[7] = (labels[7] + 1) % 10
    return replace(one, images=replace(IMAGES, labels=labels))


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        other_settings,
        one_pixel,
        one_label,
        lambda one: replace(one, epsilon=4),
        lambda one: replace(one, seed=1),
        lambda one: replace(one, images=IMAGES.subset(list(range(39)))),
    ],
)
def test_whatever_decides_it_asks_for_another(change: Change) -> None:
    made(protection())
    other = change(protection())
    assert not other.is_kept()
    delta, reported = made(other)
    assert reported == {"protecting"} and delta.shape[0] == len(other.images)


def test_another_version_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made(protection())
    monkeypatch.setattr(ulecli.perturb.sets, "__version__", "9.9")
    assert made(protection())[1] == {"protecting"}


def test_what_things_are_called_does_not_matter() -> None:
    made(protection())
    renamed = replace(IMAGES, classes=tuple(f"class {number}" for number in range(10)))
    surrogate = replace(protection().surrogate, label="another name")
    assert SetProtection(surrogate, renamed, 8, 0, "cpu").is_kept()


def test_a_cache_that_is_damaged_or_deleted_is_made_anew(own_cache: Path) -> None:
    first, _ = made(protection())
    (file,) = own_cache.rglob("*.delta")
    file.write_bytes(file.read_bytes()[:-1])
    again, reported = made(protection())
    assert reported == {"protecting"} and torch.equal(again, first)
    for file in own_cache.rglob("*.delta"):
        file.unlink()
    assert made(protection())[1] == {"protecting"}


def test_where_nothing_can_be_kept_it_is_made(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    (own_cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache / "file"))
    assert made(protection())[1] == made(protection())[1] == {"protecting"}
