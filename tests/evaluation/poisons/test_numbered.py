from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_set import small_set
from PIL import Image

from ulecli.data.images import ImageSet
from ulecli.errors import UleError
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.evaluation.poisons.reading import read_poison


@pytest.fixture
def clean() -> ImageSet:
    return small_set()


def write(folder: Path, clean: ImageSet, names: list[str]) -> ImageSet:
    """Write the images, each changed a bit, under these names and return them as a set."""
    images = clean.images ^ 3
    for name, image in zip(names, images, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return ImageSet(images, clean.labels, clean.classes)


NAMINGS = {
    "numbers": [f"{number}.png" for number in range(24)],
    "zeros before": [f"{number:05}.png" for number in range(24)],
    "words before": [f"img_{number}.PNG" for number in range(24)],
    "from 1": [f"{number + 1}.png" for number in range(24)],
    "two numbers": [f"cifar10_{number}.png" for number in range(24)],
}


@pytest.mark.parametrize("names", NAMINGS.values(), ids=NAMINGS)
def test_pngs_are_in_the_order_of_their_numbers(tmp_path: Path, clean: ImageSet, names: list[str]) -> None:
    expected = write(tmp_path, clean, names)
    (tmp_path / "labels.csv").write_text("not a picture")
    (tmp_path / "._3.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / ".cache").mkdir()
    shutil.copy(tmp_path / names[0], tmp_path / ".cache")
    poison = read_poison(tmp_path, clean)
    assert torch.equal(poison.images.images, expected.images)
    assert poison.kind is PoisonKind.IMAGES
    assert poison.notes == ()


@pytest.mark.parametrize("called", [("ant", "bee", "cat", "dog"), ("0", "1", "2", "3")])
def test_class_folders_give_labels(tmp_path: Path, clean: ImageSet, called: tuple[str, ...]) -> None:
    names = [f"{called[int(label)]}/{number}.png" for number, label in enumerate(clean.labels)]
    expected = write(tmp_path, clean, names)
    poison = read_poison(tmp_path, clean)
    assert torch.equal(poison.images.images, expected.images)
    assert poison.notes == ()
    (tmp_path / called[3]).rename(tmp_path / "moved")
    (tmp_path / called[2]).rename(tmp_path / called[3])
    (tmp_path / "moved").rename(tmp_path / called[2])
    (note,) = read_poison(tmp_path, clean).notes
    assert note.startswith("labels don't match the poison: 12 of 24")
    (tmp_path / called[0]).rename(tmp_path / "of another name")
    assert read_poison(tmp_path, clean).notes == ()


def test_a_perturbation_as_pngs(tmp_path: Path, clean: ImageSet) -> None:
    delta = np.random.default_rng(1).integers(0, 9, (24, 8, 10), np.uint8)
    for number, plane in enumerate(delta):
        Image.fromarray(plane).save(tmp_path / f"{number}.png")
    poison = read_poison(tmp_path, clean)
    expected = np.minimum(clean.images.numpy().astype(int) + delta[:, None], 255)
    assert np.array_equal(poison.images.images.numpy(), expected)
    assert poison.kind is PoisonKind.PERTURBATION


def test_bad_names_are_named(tmp_path: Path, clean: ImageSet) -> None:
    with pytest.raises(UleError, match="holds no PNG"):
        read_poison(tmp_path, clean)
    write(tmp_path, clean, NAMINGS["numbers"])
    for number in (3, 9, 10, 15):
        (tmp_path / f"{number}.png").unlink()
    (note,) = read_poison(tmp_path, clean).notes
    assert note.endswith("holds 20 of 24 images; those it lacks stay clean: 3, 9, 10 and 1 more")
    (tmp_path / "0.png").rename(tmp_path / "24.png")
    (tmp_path / "23.png").rename(tmp_path / "99.png")
    with pytest.raises(
        UleError, match="20 PNGs where the training set has 24 images; the highest number is 99"
    ):
        read_poison(tmp_path, clean)
    (tmp_path / "24.png").unlink()
    (tmp_path / "99.png").unlink()
    write(tmp_path, clean, NAMINGS["numbers"])
    for name in ("poison.png", "mask.png"):
        (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(UleError, match=r"mask\.png, poison\.png without a number"):
        read_poison(tmp_path, clean)


def test_numbers_are_unique_over_all_folders(tmp_path: Path, clean: ImageSet) -> None:
    names = [f"{clean.classes[int(label)]}/{number}.png" for number, label in enumerate(clean.labels)]
    write(tmp_path, clean, names)
    picture = (tmp_path / names[0]).read_bytes()
    (tmp_path / "dog" / "0000.png").write_bytes(picture)
    with pytest.raises(UleError, match=r"ant/0\.png, dog/0000\.png share a number"):
        read_poison(tmp_path, clean)
    (tmp_path / "dog" / "0000.png").rename(tmp_path / "dog" / "24.png")
    with pytest.raises(UleError, match=r"holds 25 PNGs where the training set has 24 images$"):
        read_poison(tmp_path, clean)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("size", "is 9 x 8 pixels, but the training images are 10 x 8"),
        ("depth", "is I;16; 8 bits a channel are needed"),
        ("torn", "can't be read as a PNG"),
        ("jpeg", "can't be read as a PNG"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, clean: ImageSet, what: str, message: str) -> None:
    write(tmp_path, clean, NAMINGS["numbers"])
    path = tmp_path / "7.png"
    if what == "size":
        Image.new("RGB", (9, 8)).save(path)
    elif what == "depth":
        Image.new("I;16", (10, 8)).save(path)
    elif what == "torn":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        Image.new("RGB", (10, 8)).save(path, "JPEG")
    with pytest.raises(UleError, match=rf"7\.png {message}"):
        read_poison(tmp_path, clean)


def in_classes(clean: ImageSet, first: int = 0, root: str = "") -> list[str]:
    """Name the images by class and their number among those of the class."""
    seen = dict.fromkeys(clean.classes, first)
    names = []
    for label in clean.labels.tolist():
        called = clean.classes[label]
        names.append(f"{root}{called}/{seen[called]:04}.png")
        seen[called] += 1
    return names


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("root", ["", "train/", "cifar/train/", "cifar/"])
def test_numbers_may_begin_anew_in_each_class(tmp_path: Path, clean: ImageSet, first: int, root: str) -> None:
    expected = write(tmp_path, clean, in_classes(clean, first, root))
    if "train" in root:  # whose test images are nobody's training images
        write(tmp_path, clean, in_classes(clean, first, root.replace("train", "test")))
    poison = read_poison(tmp_path, clean)
    assert torch.equal(poison.images.images, expected.images)
    assert torch.equal(poison.images.labels, clean.labels)
    assert poison.notes == () and poison.labels_differ == 0


def test_an_order_within_a_class_that_is_not_the_official_one_is_found(
    tmp_path: Path, clean: ImageSet
) -> None:
    names = in_classes(clean)
    mixed = {name: name.replace(name[-8:], f"{5 - int(name[-8:-4]):04}.png") for name in names}
    expected = write(tmp_path, clean, [mixed[name] for name in names])
    assert torch.equal(read_poison(tmp_path, clean).images.images, expected.images)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kept", [range(0, 24, 2), range(1, 24, 2), range(5, 20)])
def test_a_part_goes_where_its_numbers_and_looks_say(
    tmp_path: Path, clean: ImageSet, first: int, kept: range
) -> None:
    written = write(tmp_path, clean, [f"some/{number + first}.png" for number in range(24)])
    for number in set(range(24)) - set(kept):
        (tmp_path / f"some/{number + first}.png").unlink()
    poison = read_poison(tmp_path, clean)
    expected = clean.images.clone()
    expected[list(kept)] = written.images[list(kept)]
    assert torch.equal(poison.images.images, expected)
    (note,) = poison.notes
    assert f"holds {len(kept)} of 24 images; those it lacks stay clean" in note


def test_one_class_of_all(tmp_path: Path, clean: ImageSet) -> None:
    names = in_classes(clean)
    written = write(tmp_path, clean, names)
    for name in names:
        if not name.startswith("bee"):
            (tmp_path / name).unlink()
    poison = read_poison(tmp_path, clean)
    bees = clean.labels == 1
    assert torch.equal(poison.images.images[bees], written.images[bees])
    assert torch.equal(poison.images.images[~bees], clean.images[~bees])
