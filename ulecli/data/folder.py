"""Any folder that holds one folder of pictures for each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a picture in a folder of classes; anything else lies there for another reason."""


def image_folder(root: Path, size: int) -> ImageSet:
    """Read the pictures under `root/CLASS/`, however deep, squeezed to a square.

    Classes are sorted by name and pictures by path within their class, so the order is the same everywhere.

    Args:
        root: The folder of class folders.
        size: Side of the square, in pixels.

    Returns:
        Pictures of size x size: upright, without alpha, their aspect given up.

    Raises:
        NoSuchPath: There is no folder `root`.
        UleError: There is no class folder, a class without a picture, or a picture that can't be read.
    """
    return read_pictures(list_pictures(root), size)


def list_pictures(root: Path) -> dict[str, list[Path]]:
    """Return the pictures of each class, both sorted, from a folder of class folders.

    Raises:
        NoSuchPath: There is no folder `root`.
        UleError: There is no class folder, or a class without a picture.
    """
    if not root.is_dir():
        raise NoSuchPath(f"there is no folder {root}; name the folder that holds one folder for each class")
    folders = sorted(_visible(path for path in root.iterdir() if path.is_dir()))
    if not folders:
        raise UleError(f"{root} holds no folder; a data set is one folder of pictures for each class")
    return {folder.name: _pictures(folder) for folder in folders}


def read_pictures(
    pictures: Mapping[str, Sequence[Path]],
    size: int,
    *,
    arrive: Callable[[Image.Image], Image.Image] | None = None,
    jobs: int | None = None,
) -> ImageSet:
    """Read the pictures of each class, squeezed to a square.

    Args:
        pictures: From the name of each class to its files, in the order that they shall have.
        size: Side of the square, in pixels.
        arrive: What becomes of a whole picture, upright and RGB, before it is read; None for nothing.
        jobs: Pictures in work at the same time; None for as many as there are processors.

    Raises:
        UleError: A picture can't be read.
    """
    paths = [path for members in pictures.values() for path in members]
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _decode(paths[index], size, arrive)

    with ThreadPoolExecutor(jobs) as pool:  # Pillow works without holding the interpreter's lock
        list(pool.map(fill, range(len(paths))))
    counts = torch.tensor([len(members) for members in pictures.values()])
    labels = torch.arange(len(pictures)).repeat_interleave(counts)
    return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels, tuple(pictures))


def split_folder(images: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Return training and test pictures: every fifth of each class, in the order of paths, becomes a test.

    Raises:
        UleError: A class has fewer than two pictures.
    """
    test = torch.zeros(len(images), dtype=torch.bool)
    for label, name in enumerate(images.classes):
        own = (images.labels == label).nonzero().flatten()
        if len(own) < 2:
            raise UleError(f"{name} has {len(own)} picture; training and test need one each at least")
        test[own[1::5]] = True
    return images.subset(~test), images.subset(test)


def _visible(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.name.startswith(".")]


def _pictures(folder: Path) -> list[Path]:
    inside = _visible(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not inside:
        raise UleError(f"{folder} holds no picture; remove the folder or fill it")
    return sorted(inside)


def _decode(path: Path, size: int, arrive: Callable[[Image.Image], Image.Image] | None) -> NDArray[np.uint8]:
    """Return (size, size, 3) uint8 RGB."""
    try:
        with Image.open(path) as image:
            arrived = arrive(_upright(image)) if arrive else image
            arrived.draft(None, (2 * size, 2 * size))  # lets JPEG decode at a fraction of its size
            upright = _upright(arrived)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UleError(f"{path} can't be read as a picture ({error}); repair or remove it") from error
    return np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR))


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image).convert("RGB")
