from __future__ import annotations

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_set import small_set
from PIL import Image, ImageOps

from ulecli.data.folder import image_folder
from ulecli.data.images import ImageSet
from ulecli.errors import ExitCode, NoSuchPath, UleError, UsageError
from ulecli.evaluation.poisons.protected_photos import (
    aligned,
    places_of,
    read_photos,
    read_protected,
    with_photos,
)
from ulecli.imaging.upload import Upload


@pytest.fixture
def clean() -> ImageSet:
    return small_set()


ORIENTATION = 0x0112


def picture(seed: int, width: int = 90, height: int = 60) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).resize((width, height))
    pixels = np.asarray(coarse).astype(int) + rng.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes, one photo stored on its side, one in a folder of its own, and what is no photo."""
    root = tmp_path / "photos" / "train"
    (root / "bee" / "2024").mkdir(parents=True)
    (root / "ant").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(1).save(root / "ant" / "1.jpg", quality=95, exif=exif)
    picture(2, 40, 300).save(root / "ant" / "10.png")
    picture(3, 200, 50).save(root / "bee" / "2024" / "IMG_1.webp", lossless=True)
    picture(4).convert("L").save(root / "bee" / "gray.jpg")
    (root / "bee" / "notes.txt").write_text("no photo")
    (root / "bee" / "._gray.jpg").write_bytes(b"what a Mac leaves behind")
    return root


def by_hand(path: Path, side: int | None, quality: int | None, size: int) -> np.ndarray:
    """Do with files on the disk what an upload does, step by step."""
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    if side and max(photo.size) > side:
        width, height = photo.size
        scale = side / max(width, height)
        photo = photo.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    if quality:
        file = BytesIO()
        photo.save(file, "JPEG", quality=quality, subsampling=2)
        photo = Image.open(BytesIO(file.getvalue()))
        photo.draft(None, (2 * size, 2 * size))
        photo = photo.convert("RGB")
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("text", "side", "quality"),
    [("q85", None, 85), ("q10", None, 10), ("64", 64, None), ("64:q75", 64, 75), ("1080:q100", 1080, 100)],
)
def test_an_upload_is_what_pillow_does(tree: Path, text: str, side: int, quality: int) -> None:
    upload = Upload.parse(text)
    assert (upload.side, upload.quality, str(upload)) == (side, quality, text)
    found = read_photos(tree, upload, 16, jobs=2)
    names = ("ant/1.jpg", "ant/10.png", "bee/2024/IMG_1.webp", "bee/gray.jpg")
    expected = np.stack([by_hand(tree / name, side, quality, 16) for name in names])
    assert np.array_equal(found.images.permute(0, 2, 3, 1).numpy(), expected)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.classes == ("ant", "bee")


def test_without_an_upload_it_is_the_folder_as_read(tree: Path) -> None:
    found, expected = read_photos(tree, Upload.parse("none"), 24, jobs=1), image_folder(tree, 24)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)
    assert found.classes == expected.classes
    assert str(Upload()) == "none"


def test_a_photo_is_shrunk_and_never_enlarged() -> None:
    photo = picture(0, 90, 60)
    assert Upload(side=45)(photo).size == (45, 30)
    assert Upload(side=91)(photo) is photo
    stored = Upload(side=90, quality=85)(photo)
    assert stored.size == (90, 60)
    assert stored.format == "JPEG"
    assert [layer[1:3] for layer in stored.layer] == [(2, 2), (1, 1), (1, 1)]  # 4:2:0
    assert Upload(side=3)(picture(0, 300, 1)).size == (3, 1)


@pytest.mark.parametrize(
    "text", ["", "q", "q0", "q101", "q85:1080", "0", "0:q85", "1080:", ":q85", "-5", "1e3", "NONE", "²:q8"]
)
def test_an_upload_that_can_not_be(text: str) -> None:
    with pytest.raises(UsageError, match=r"use none, q85.*1080:q85"):
        Upload.parse(text)


@pytest.fixture
def protected(tree: Path, tmp_path: Path) -> Path:
    """A copy of FOLDER as protect would leave it: other pixels, an ending corrected, photos alone."""
    copy = tmp_path / "photos-protected"
    shutil.copytree(tree.parent, copy, ignore=shutil.ignore_patterns("*.txt", "._*"))
    ImageOps.invert(picture(1)).save(copy / "train" / "ant" / "1.jpg")
    (copy / "train" / "bee" / "2024" / "IMG_1.webp").unlink()
    ImageOps.invert(picture(3, 200, 50)).save(copy / "train" / "bee" / "2024" / "IMG_1.png")
    return copy


@pytest.mark.parametrize("below", ["", "train"])
def test_protected_photos_come_in_the_order_of_the_clean(tree: Path, protected: Path, below: str) -> None:
    clean = read_photos(tree, Upload(), 16, jobs=1)
    found = read_protected(protected / below, tree, Upload(quality=90), 16, jobs=2)
    assert torch.equal(found.labels, clean.labels)
    assert found.classes == clean.classes
    expected = by_hand(protected / "train/bee/2024/IMG_1.png", None, 90, 16)
    assert np.array_equal(found.images[2].permute(1, 2, 0).numpy(), expected)
    pairs = aligned(protected / below, tree)
    assert [source.relative_to(tree).as_posix() for _, source in pairs] == [
        "ant/1.jpg",
        "ant/10.png",
        "bee/2024/IMG_1.webp",
        "bee/gray.jpg",
    ]
    assert [copy.name for copy, _ in pairs] == ["1.jpg", "10.png", "IMG_1.png", "gray.jpg"]


def test_equal_stems_stay_apart(tree: Path, protected: Path) -> None:
    picture(7).save(tree / "ant" / "1.png")
    picture(8).save(protected / "train" / "ant" / "1.png")
    assert all(copy.suffix == source.suffix for copy, source in aligned(protected, tree)[:3])


def test_trees_that_are_not_of_each_other(tree: Path, protected: Path) -> None:
    for seed, name in enumerate(("5", "6", "7", "8")):
        picture(seed).save(tree / "bee" / f"{name}.jpg")
    with pytest.raises(UleError, match=r"lacks bee/5\.jpg, bee/6\.jpg, bee/7\.jpg and 1 more of"):
        aligned(protected, tree)
    for name in ("5", "6", "7", "8"):
        (tree / "bee" / f"{name}.jpg").unlink()
    picture(5).save(protected / "train" / "ant" / "2.jpg")
    with pytest.raises(UleError, match=r"holds ant/2\.jpg, which .* does not"):
        read_protected(protected, tree, Upload(), 16, jobs=1)


def test_bad_trees_are_told_apart(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath, match="there is no folder"):
        read_photos(tmp_path / "nowhere", Upload(), 16, jobs=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UleError, match="holds no folder"):
        read_photos(tmp_path / "empty", Upload(), 16, jobs=1)
    (tree / "cat").mkdir()
    with pytest.raises(UleError, match="cat holds no picture"):
        read_photos(tree, Upload(), 16, jobs=1)
    (tree / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    with pytest.raises(UleError, match=r"torn\.jpg can't be read as a picture"):
        read_photos(tree, Upload(quality=85), 16, jobs=2)


def test_only_some_classes_are_protected(clean: ImageSet) -> None:
    protected = replace(clean, images=255 - clean.images)
    mixed = with_photos(clean, protected, places_of(clean, ["dog", "ant"]))
    for label, image, before in zip(clean.labels, mixed.images, clean.images, strict=True):
        assert torch.equal(image, 255 - before if int(label) in (0, 3) else before)
    with pytest.raises(
        UsageError, match="there is no class 'bees', only ant, bee, cat, dog; did you mean bee"
    ):
        places_of(clean, ["bees"])
    with pytest.raises(UsageError, match="names no class") as caught:
        places_of(clean, [])
    assert caught.value.exit_code is ExitCode.USAGE
    with pytest.raises(ValueError, match="photos of the clean one"):
        with_photos(clean, replace(protected, labels=protected.labels.flip(0)), places_of(clean, ["ant"]))


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.3, 9), (0.5, 15), (0.99, 30), (1, 30)])
def test_a_share_of_each_class_is_drawn_by_seed(share: float, count: int) -> None:
    labels = torch.arange(90) % 3
    images = ImageSet(torch.zeros(90, 3, 1, 1, dtype=torch.uint8), labels, ("a", "b", "c"))
    drawn = places_of(images, ["c", "a"], share=share, seed=1)
    assert torch.equal(drawn, drawn.unique())
    assert torch.bincount(labels[drawn], minlength=3).tolist() == [count, 0, count]
    assert torch.equal(drawn, places_of(images, ["a", "c"], share=share, seed=1))
    alone = places_of(images, ["c"], share=share, seed=1)
    assert torch.equal(alone, drawn[labels[drawn] == 2])  # a class does not depend on the others
    if 0.1 < share < 0.9:
        assert not torch.equal(drawn, places_of(images, ["a", "c"], share=share, seed=2))
        assert not torch.equal(drawn[labels[drawn] == 0], alone - 2)  # nor is it drawn like them
