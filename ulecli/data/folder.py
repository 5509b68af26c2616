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
from ulecli.errors import NoSuchPath, PhotoError, PhotoSkipped, UleError, shown
from ulecli.formats.picture import read
from ulecli.formats.registry import HEAD, PICTURE_SUFFIXES, SUFFIXES, sniff

_ALSO_READ = {b"GIF8": "GIF", b"P5": "PPM", b"P6": "PPM"}
"""First bytes of what data sets are made of beside photos, and Pillow's name for it."""

_PROMISING = {*PICTURE_SUFFIXES, ".gif", ".pgm", ".ppm"}
"""Endings of names that promise a picture."""


def image_folder(root: Path, size: int) -> ImageSet:
    """Read the pictures under `root/CLASS/`, however deep, squeezed to a square.

    Pictures are those files that hold one, whatever they are called, of every format that `ulecli protect`
    writes, and GIF, PPM and PGM. A file that is called a picture and can't be read as one is an error.

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
    """Return the pictures of each class, both sorted, from a folder of class folders; see `image_folder`.

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
        UleError: Pictures can't be read; the message counts them and names the first.
    """
    paths = [path for members in pictures.values() for path in members]
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def fill(index: int) -> Exception | None:
        try:
            images[index] = _squeezed(paths[index], size, arrive)
        except (OSError, ValueError, PhotoError, PhotoSkipped) as error:
            return error
        return None

    with ThreadPoolExecutor(jobs) as pool:  # Pillow works without holding the interpreter's lock
        errors = list(pool.map(fill, range(len(paths))))
    _check_read(paths, errors)
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


def picture_files(folder: Path) -> list[Path]:
    """Return the files below a folder that hold a picture or are called one, sorted; hidden ones left out."""
    return sorted(path for path in _visible(folder.rglob("*")) if path.is_file() and _promises_picture(path))


def read_picture(path: Path) -> Image.Image:
    """Return a picture upright, in sRGB and without alpha; of several frames or pages the first.

    Raises:
        PhotoError: It is damaged.
        PhotoSkipped: It is of a kind that can't be read, or needs a package that is not installed.
        OSError: It can't be opened.
    """
    head = _head(path)
    format = sniff(head)
    if format in SUFFIXES:
        return read(path)
    other = next((name for magic, name in _ALSO_READ.items() if head.startswith(magic)), None)
    if other is None:
        raise PhotoSkipped(f"is {format}" if format else "holds no picture that is known")
    with Image.open(path, formats=(other,)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _visible(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.name.startswith(".")]


def _pictures(folder: Path) -> list[Path]:
    inside = picture_files(folder)
    if not inside:
        raise UleError(f"{folder} holds no picture; remove the folder or fill it")
    return inside


def _promises_picture(path: Path) -> bool:
    return path.suffix.lower() in _PROMISING or bool(sniff(_head(path)))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _check_read(paths: Sequence[Path], errors: Sequence[Exception | None]) -> None:
    """Report in one line what could not be read.

    Raises:
        UleError: There is an error.
    """
    failed = [(path, error) for path, error in zip(paths, errors, strict=True) if error is not None]
    if not failed:
        return
    (path, error), more = failed[0], len(failed) - 1
    many, them = (f" and {more} more", "them") if more else ("", "it")
    advice = f"make a JPEG of {them}, or remove" if isinstance(error, PhotoSkipped) else "repair or remove"
    raise UleError(f"{shown(path)}{many} can't be read as a picture ({error}); {advice} {them}") from error


def _squeezed(
    path: Path, size: int, arrive: Callable[[Image.Image], Image.Image] | None
) -> NDArray[np.uint8]:
    """Return (size, size, 3) uint8 RGB."""
    image = read_picture(path)
    if arrive is not None:
        image = arrive(image)
        image.draft(None, (2 * size, 2 * size))  # lets JPEG decode at a fraction of its size
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
