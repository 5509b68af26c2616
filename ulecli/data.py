"""Labelled pictures as one tensor: CIFAR-10, or any folder that holds one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ulecli.errors import NoSuchPath, UleError
from ulecli.torchvision_shim import import_torchvision

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a picture in a folder of classes; anything else lies there for another reason."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A labelled set of pictures, small enough to be held as a whole.

    Attributes:
        images: (N, 3, H, W) uint8 RGB.
        labels: (N,) int64, 0 to len(classes) - 1.
        classes: The name of each label.

    Raises:
        ValueError: The three do not fit together.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"images: {self.images.dtype} {tuple(self.images.shape)}, not uint8 (N, 3, H, W)"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels: {self.labels.dtype} {tuple(self.labels.shape)}, not int64 (N,)")
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(f"labels are not within 0 to {len(self.classes) - 1}")

    def __len__(self) -> int:
        return len(self.labels)


def default_root() -> Path:
    """Return where data sets lie unless `--data-root` says otherwise: ULECLI_DATA, else `data`."""
    return Path(os.environ.get("ULECLI_DATA") or "data")


def cifar10(root: Path, *, train: bool) -> ImageSet:
    """Read CIFAR-10 from `root/cifar-10-batches-py`, whose files must have their official md5.

    Args:
        root: The folder that holds the unpacked archive.
        train: The 50,000 training pictures, else the 10,000 test pictures, both in the official order.

    Returns:
        Pictures of 32 x 32.

    Raises:
        UleError: The archive is not there, or a file of it is damaged.
    """
    datasets = import_torchvision().datasets
    try:
        batches = datasets.CIFAR10(str(root), train=train, download=False)
    except RuntimeError as error:
        raise UleError(
            f"no complete CIFAR-10 in {root}: unpack cifar-10-python.tar.gz there, "
            "or name the folder that holds cifar-10-batches-py with --data-root"
        ) from error
    images = torch.from_numpy(batches.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.tensor(batches.targets), tuple(batches.classes))


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
    if not root.is_dir():
        raise NoSuchPath(f"there is no folder {root}; name the folder that holds one folder for each class")
    folders = sorted(_visible(path for path in root.iterdir() if path.is_dir()))
    if not folders:
        raise UleError(f"{root} holds no folder; a data set is one folder of pictures for each class")
    found = [_pictures(folder) for folder in folders]
    paths = [path for members in found for path in members]
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _decode(paths[index], size)

    with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes without holding the interpreter's lock
        list(pool.map(fill, range(len(paths))))
    labels = torch.arange(len(folders)).repeat_interleave(torch.tensor([len(members) for members in found]))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, labels, tuple(folder.name for folder in folders))


def _visible(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.name.startswith(".")]


def _pictures(folder: Path) -> list[Path]:
    inside = _visible(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not inside:
        raise UleError(f"{folder} holds no picture; remove the folder or fill it")
    return sorted(inside)


def _decode(path: Path, size: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) uint8 RGB."""
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * size, 2 * size))  # lets JPEG decode at a fraction of its size
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UleError(f"{path} can't be read as a picture ({error}); repair or remove it") from error
    return np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR))
