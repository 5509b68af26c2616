from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.evaluation.set_files import Made, SetFiles

CLEAN = shapes(20)
CHANGED = replace(CLEAN, images=CLEAN.images ^ 4)
"""Each value 4 levels higher or lower."""


def files(folder: Path, data_set: str = "shapes") -> SetFiles:
    return SetFiles(folder, data_set, CLEAN, lambda made: made)


def never() -> Made:
    pytest.fail("made again")


def test_a_set_is_made_once_and_mapped(tmp_path) -> None:
    first = files(tmp_path).kept("a b/c", "one", lambda: Made(CHANGED, 8))
    assert torch.equal(first.read().images, CHANGED.images)
    assert torch.equal(first.read().labels, CLEAN.labels) and first.read().classes == CLEAN.classes
    assert (first.name, first.digest, first.epsilon) == ("a b/c", CHANGED.digest, 8)
    assert first.audit is not None and first.audit["max_change"] == 4
    assert files(tmp_path).kept("a b/c", "one", never) == first
    assert first.file.parent == tmp_path and first.file.name.startswith("a-b-c-")


@pytest.mark.parametrize(
    ("name", "identity", "data_set"), [("b", "one", "shapes"), ("a", "two", "shapes"), ("a", "one", "other")]
)
def test_what_decides_a_set_decides_its_file(name: str, identity: str, data_set: str, tmp_path) -> None:
    first = files(tmp_path).kept("a", "one", lambda: Made(CHANGED, 8))
    other = files(tmp_path, data_set).kept(name, identity, lambda: Made(CLEAN, 0))
    assert other.file != first.file and other.audit is None and other.epsilon == 0
    assert torch.equal(first.read().images, CHANGED.images)


def test_an_interrupted_set_is_made_again(tmp_path) -> None:
    first = files(tmp_path).kept("a", "one", lambda: Made(CHANGED, 8))
    first.file.with_suffix(".json").unlink()  # written last
    assert files(tmp_path).kept("a", "one", lambda: Made(CLEAN, 0)).digest == CLEAN.digest


def test_what_was_unfinished_goes_when_the_set_is_kept(tmp_path) -> None:
    kept, folder = files(tmp_path), files(tmp_path).unfinished("a", "one")
    assert not kept.is_kept("a", "one")
    folder.mkdir()
    (folder / "part").write_text("half of it")
    assert files(tmp_path).unfinished("a", "two") != folder

    def make() -> Made:
        assert (folder / "part").exists()
        return Made(CHANGED, 8)

    kept.kept("a", "one", make)
    assert kept.is_kept("a", "one") and not folder.exists()


def half(images: ImageSet) -> ImageSet:
    changed = images.images.clone()
    changed[:10] = CLEAN.images[:10]
    return replace(images, images=changed)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Made(CHANGED, 2), ["up to 4 levels, more than epsilon 2"]),
        (Made(CHANGED, 2, bounded=False), []),
        (Made(half(CHANGED), 8), ["10 of 20 images are unchanged"]),
        (Made(half(CHANGED), 8, bounded=False), []),
        (Made(CLEAN, 8, bounded=False), ["changes nothing"]),
        (Made(CHANGED, 8, remarks=("look out",)), ["look out"]),
        (Made(CLEAN, 0), []),
    ],
)
def test_what_is_warned_of(made: Made, words: list[str], tmp_path) -> None:
    found = files(tmp_path).kept("a", "one", lambda: made).warnings
    assert len(found) == len(words) and all(map(str.__contains__, found, words))


def test_what_is_trained_on_may_be_mixed_after_the_audit(tmp_path) -> None:
    kept = SetFiles(tmp_path, "shapes", CLEAN, half).kept("a", "one", lambda: Made(CHANGED, 8, "by hand"))
    assert torch.equal(kept.read().images, half(CHANGED).images)
    assert kept.audit is not None
    assert (kept.audit["changed_share"], kept.audit["kind"]) == (1, "by hand")


@pytest.mark.parametrize("finish", [lambda made: made, half])
def test_a_set_that_changes_some_images_holds_these_alone(
    finish: Callable[[ImageSet], ImageSet], tmp_path
) -> None:
    places = torch.tensor([3, 8, 15])
    images = CLEAN.images.clone()
    images[places] = CHANGED.images[places]
    some = replace(CLEAN, images=images)
    made = Made(some, 8, figures={"amplitude": 2.5})
    sets = SetFiles(tmp_path, "shapes", CLEAN, finish)
    kept = sets.kept("a", "one", lambda: made, places=places)
    assert torch.equal(kept.read().images, finish(some).images) and kept.read().digest == kept.digest
    assert np.load(kept.file).shape == (3, *CLEAN.images.shape[1:])
    assert kept.shape == tuple(CLEAN.images.shape) == sets.unchanged().shape
    assert kept.audit is not None and (kept.audit["amplitude"], kept.audit["changed_share"]) == (2.5, 0.15)
    assert sets.kept("a", "one", never, places=places) == kept
    assert torch.equal(sets.unchanged().read().images, CLEAN.images)  # reading writes into no file
