from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_set import small_set
from PIL import Image

from ulecli.data.images import ImageSet
from ulecli.evaluation.poisons.clean_checks import check_clean, check_test_set, same_images
from ulecli.evaluation.poisons.poison_audit import audit, warnings
from ulecli.formats.metadata import xmp
from ulecli.formats.metadata.xmp import Mark


@pytest.fixture
def clean() -> ImageSet:
    return small_set()


def moved(clean: ImageSet, delta: np.ndarray) -> ImageSet:
    pixels = np.clip(clean.images.numpy().astype(int) + delta, 0, 255).astype(np.uint8)
    return replace(clean, images=torch.from_numpy(pixels))


def noise(low: int, high: int, shape: tuple[int, ...] = (24, 3, 8, 10)) -> np.ndarray:
    return np.random.default_rng(5).integers(low, high + 1, shape)


def test_the_numbers_against_numpy(clean: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ulecli.evaluation.poisons.content._CHUNK_VALUES", 1000
    )  # several chunks, the last one smaller
    delta = noise(-8, 6)
    delta[3:5] = 0
    delta[:, 1] += 2
    delta[:, :, 2:5] = delta[:, :1, 2:5]
    delta[3:5] = 0
    images = moved(clean, delta)
    found = audit(images, clean, source="here", kind="perturbation in levels")
    change = images.images.numpy().astype(np.float64) - clean.images.numpy()
    assert (found.source, found.kind) == ("here", "perturbation in levels")
    assert (found.count, found.shape) == (24, (3, 8, 10))
    assert found.max_change == np.abs(change).max()
    assert found.mean_amplitude == pytest.approx(np.abs(change).mean((0, 2, 3)))
    assert found.mean_change == pytest.approx(change.mean((0, 2, 3)))
    assert found.negative_share == pytest.approx((change < 0).sum() / (change != 0).sum())
    assert found.changed_share == pytest.approx(22 / 24)
    equal = (change == change[:, :1]).all(1)
    touched = (change != 0).any(1)
    assert found.tied == pytest.approx((equal & touched).sum() / touched.sum())
    assert found.psnr_db == pytest.approx(20 * math.log10(255 / np.sqrt((change**2).mean())))
    assert not found.classwise
    assert found.nearer_to_others == 0


def test_no_change_at_all(clean: ImageSet) -> None:
    found = audit(clean, clean)
    assert found.max_change == found.negative_share == found.changed_share == found.tied == 0
    assert found.psnr_db is None
    assert not found.classwise
    assert warnings(found, 8) == ("the poison changes nothing: these are the clean images",)


def test_a_good_poison_is_not_warned_of(clean: ImageSet) -> None:
    tied = noise(-8, 8, (24, 1, 8, 10))
    found = audit(moved(clean, tied), clean)
    assert found.max_change == 8
    assert warnings(found, 8) == ()


def test_a_larger_change_than_epsilon(clean: ImageSet) -> None:
    found = audit(moved(clean, noise(-9, 9)), clean)
    assert warnings(found, 9) == ()
    assert warnings(found, 8) == ("it changes values by up to 9 levels, more than epsilon 8",)


def test_one_sided_noise(clean: ImageSet) -> None:
    found = audit(moved(clean, noise(0, 7)), clean)
    (line,) = warnings(found, 8)
    assert line.startswith("one-sided: 0.0% of the changes are negative")
    assert found.mean_change == found.mean_amplitude


def test_untouched_images(clean: ImageSet) -> None:
    delta = noise(-8, 8)
    delta[::3] = 0
    assert warnings(audit(moved(clean, delta), clean), 8) == ("8 of 24 images are unchanged",)


def test_another_order_is_seen(clean: ImageSet) -> None:
    poisoned = moved(clean, noise(-8, 8))
    shuffled = replace(poisoned, images=poisoned.images[torch.randperm(24, generator=torch.Generator())])
    found = audit(shuffled, clean)
    assert found.nearer_to_others > 0.8
    assert warnings(found, 8)[0].endswith("the poison is in another order, or of another data set")


@pytest.mark.parametrize("chunk", [250, 2**23])
def test_class_wise_noise_is_seen_in_spite_of_clamping(
    clean: ImageSet, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("ulecli.evaluation.poisons.content._CHUNK_VALUES", chunk)
    delta = noise(-8, 8, (4, 3, 8, 10))[clean.labels.numpy()]
    images = moved(clean, delta)
    assert not np.array_equal(images.images.numpy().astype(int) - clean.images.numpy(), delta)  # clamped
    found = audit(images, clean)
    assert found.classwise
    assert warnings(found, 8) == (
        "class-wise: all images of a class carry one perturbation, which averaging reveals",
    )
    inside = ((clean.images > 20) & (clean.images < 235)).numpy()
    delta[-1][np.unravel_index((inside[-1] & inside[-5]).argmax(), inside[-1].shape)] += 1
    assert clean.labels[-1] == clean.labels[-5]
    assert not audit(moved(clean, delta), clean).classwise


def test_one_image_for_each_class_is_not_class_wise(clean: ImageSet) -> None:
    some = clean.subset([0, 1, 2, 3])
    assert sorted(some.labels.tolist()) == [0, 1, 2, 3]
    assert not audit(moved(some, noise(-8, 8, (4, 3, 8, 10))), some).classwise


def test_sets_that_differ_in_shape_are_refused(clean: ImageSet) -> None:
    with pytest.raises(ValueError, match=r"\(23, 3, 8, 10\) against \(24"):
        audit(clean.subset(range(23)), clean)


def test_a_record_is_plain(clean: ImageSet) -> None:
    record = asdict(audit(moved(clean, noise(-8, 8)), clean))
    assert {type(value) for value in record.values()} <= {str, int, float, bool, tuple}


def test_same_images_counts_every_copy(clean: ImageSet) -> None:
    other = replace(clean, images=clean.images.clone())
    other.images[4:] ^= 1
    assert same_images(clean, other) == 4
    assert same_images(clean, ImageSet(clean.images[:, :, :, :8], clean.labels, clean.classes)) == 0


def test_a_test_set_that_is_no_clean_one(clean: ImageSet) -> None:
    test = replace(clean, images=255 - clean.images)
    assert check_test_set(test, clean) == ()
    (line,) = check_test_set(clean, clean)
    assert line.startswith("24 of 24 test images are training images")


def test_photos_that_bear_the_mark_are_not_clean(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "test" / "ants" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(path, xmp=xmp.packet(Mark("0.1.0", 8)) if number else b"")
    (tmp_path / "notes.txt").touch()
    (line,) = check_clean(tmp_path)
    assert line.startswith("2 of 3 photos in ") and "name the folder of the originals" in line
    for number in (1, 2):
        (tmp_path / f"test/ants/{number}.jpg").unlink()
    assert check_clean(tmp_path) == ()
