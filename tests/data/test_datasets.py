from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ulecli.data.cifar import default_root
from ulecli.data.datasets import open_dataset
from ulecli.data.folder import image_folder
from ulecli.errors import UleError, UsageError


def fill(root: Path, counts: dict[str, int]) -> Path:
    """Pictures of one colour each, none like another."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            colour = tuple(int(level) for level in rng.integers(0, 256, 3))
            Image.new("RGB", (12, 9), colour).save(root / name / f"{number:02}.png")
    return root


def colours(images: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(image[:, 0, 0].tolist()) for image in images}


def test_a_folder_is_split_by_class_without_loss(tmp_path: Path) -> None:
    root = fill(tmp_path / "zoo", {"ant": 10, "bee": 5, "cat": 2})
    found = open_dataset(str(root), size=8)
    assert found.name == "zoo"
    assert torch.bincount(found.train.labels).tolist() == [8, 4, 1]
    assert torch.bincount(found.test.labels).tolist() == [2, 1, 1]
    assert found.train.classes == found.test.classes == ("ant", "bee", "cat")
    train, test = colours(found.train.images), colours(found.test.images)
    assert not train & test
    assert train | test == colours(image_folder(root, 8).images)


def test_the_split_is_the_same_elsewhere(tmp_path: Path) -> None:
    root = fill(tmp_path / "one", {"ant": 7, "bee": 6})
    shutil.copytree(root, tmp_path / "two")
    first, second = (open_dataset(str(tmp_path / name), size=8) for name in ("one", "two"))
    assert first.digest == second.digest


@pytest.mark.parametrize("name", ["test", "val"])
def test_folders_for_training_and_testing_are_used(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "train", {"ant": 3, "bee": 2})
    fill(tmp_path / name, {"ant": 1, "bee": 4})
    found = open_dataset(str(tmp_path))
    assert found.train.images.shape == (5, 3, 64, 64)
    assert found.test.labels.tolist() == [0, 1, 1, 1, 1]


def test_folders_that_make_no_data_set_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "torn/train", {"ant": 2, "bee": 2})
    fill(tmp_path / "torn/test", {"ant": 2, "cow": 2})
    with pytest.raises(UleError, match=r"different classes \(bee, cow\)"):
        open_dataset(str(tmp_path / "torn"))
    with pytest.raises(UleError, match="class ant alone"):
        open_dataset(str(fill(tmp_path / "lonely", {"ant": 4})))
    with pytest.raises(UleError, match="bee has 1 picture"):
        open_dataset(str(fill(tmp_path / "thin", {"ant": 4, "bee": 1})))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("cifar-10", 0, r"no data set and no folder 'cifar-10', only cifar10, .*; did you mean cifar10\?"),
        ("nowhere/at/all", 0, "only cifar10, cifar100, shapes$"),
        ("cifar10", 64, "cifar10 is 32 x 32"),
        ("shapes", 33, "shapes is 32 x 32"),
        ("shapes", -1, "sides of -1 pixels"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    name: str, size: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset(name, tmp_path, size=size)
    assert not list(tmp_path.iterdir())


def test_the_nearest_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    with pytest.raises(UsageError, match=r"only cifar10, cifar100, shapes; did you mean .*scenes\?"):
        open_dataset(str(tmp_path / "scnes"))


def test_negative_sizes_of_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sides of -2 pixels"):
        open_dataset(str(fill(tmp_path, {"a": 2, "b": 2})), size=-2)


def test_cifar10_is_opened_where_it_lies() -> None:
    if not (default_root() / "cifar-10-batches-py").is_dir():
        pytest.skip("no CIFAR-10 in ULECLI_DATA")
    found = open_dataset("cifar10", download=False)
    assert (len(found.train), len(found.test)) == (50_000, 10_000)
