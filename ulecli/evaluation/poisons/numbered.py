"""A folder of PNGs that are numbered: over the whole data set, or anew within the folder of each class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import UleError, shown
from ulecli.evaluation.poisons.files import Arrays, few

_FEWER_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
"""Pillow's modes that 8 bits a channel hold without loss."""

_TRAIN = "train"
"""The folder that is read where there is one of this name among others."""

_COMPARED = 64
"""Pictures that are compared with originals where names leave open which originals are theirs."""


def read_numbered(folder: Path, clean: ImageSet) -> Arrays:
    """Read `0.png` to `49999.png`, or some of them: `2.png`, `00002.png` and `img_2.png` are the third.

    The last digits of a name are its number: that of the image in the training set, or in folders that are
    called as the classes are, that among the images of the class where the numbers begin anew in each. The
    first number is 0 or 1. The files lie in the folder, or anywhere below it; of a tree that has a folder
    `train`, that one is read.

    Args:
        folder: Where the files are.
        clean: The training set; the pictures must have its size.

    Returns:
        Images (n, H, W, 3) uint8 RGB with the place of each, and labels where all lie in folders that are
        called as the classes are or by the labels' numbers.

    Raises:
        UleError: A name without a number, a number that is there twice or beyond the set, or a file that is
            no PNG of that size with 8 bits a channel.
    """
    named = {str(label): label for label in range(len(clean.classes))}
    named.update({name: label for label, name in enumerate(clean.classes)})
    root = _root(folder, named)
    paths = sorted(_pictures(root))
    if not paths:
        raise UleError(f"{shown(folder)} holds no PNG; a folder poison is PNGs numbered in data-set order")
    nameless = [path.name for path in paths if not re.search("[0-9]", path.stem)]
    if nameless:
        raise UleError(f"{shown(folder)}: {few(nameless)} without a number; name the PNGs 0.png, 1.png, ...")
    numbers = torch.tensor([int(re.findall("[0-9]+", path.stem)[-1][:18]) for path in paths])
    found = [
        next((named[part] for part in reversed(path.relative_to(root).parts[:-1]) if part in named), None)
        for path in paths
    ]
    known = [label for label in found if label is not None]
    labels = torch.tensor(known) if len(known) == len(paths) else None
    candidates = list(_candidates(numbers, labels, clean))
    if not candidates:
        raise _misnumbered(folder, root, paths, numbers, len(clean))
    height, width = clean.images.shape[2:]
    images = _decoded(paths, (width, height))
    places = min(candidates, key=lambda one: _doubt(one, labels, images, clean))
    return Arrays(torch.from_numpy(images), labels, places)


def _root(folder: Path, classes: dict[str, int]) -> Path:
    """Return the folder that a tree of pictures begins at: below what holds a single folder, or `train`."""
    while True:
        below = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        train = [path for path in below if path.name.lower() == _TRAIN]
        inner = train or (below if len(below) == 1 else [])
        alone = not any(path.suffix.lower() == ".png" for path in folder.iterdir() if path.is_file())
        if not (inner and alone) or inner[0].name in classes:
            return folder
        folder = inner[0]


def _pictures(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix.lower() == ".png" and path.is_file() and not hidden:
            yield path


def _candidates(numbers: Tensor, labels: Tensor | None, clean: ImageSet) -> Iterator[Tensor]:
    """Yield what places the pictures may have, (n,): numbered over the set or within classes, from 0 or 1."""
    for first in (0, 1):
        places = numbers - first
        inside = int(places.min()) >= 0 and int(places.max()) < len(clean)
        if inside and len(torch.unique(places)) == len(places):
            yield places
    if labels is None:
        return
    for first in (0, 1):
        places = torch.full_like(numbers, -1)
        for label in torch.unique(labels).tolist():
            mine, own = labels == label, (clean.labels == label).nonzero().flatten()
            rank = numbers[mine] - first
            if int(rank.min()) >= 0 and int(rank.max()) < len(own):
                places[mine] = own[rank]
        if int(places.min()) >= 0 and len(torch.unique(places)) == len(places):
            yield places


def _doubt(
    places: Tensor, labels: Tensor | None, images: NDArray[np.uint8], clean: ImageSet
) -> tuple[float, float]:
    """Return how little speaks for places: the share of labels that differ, and how far the pictures are."""
    differ = 0.0 if labels is None else float((clean.labels[places] != labels).float().mean())
    some = torch.linspace(0, len(places) - 1, min(_COMPARED, len(places)), dtype=torch.float64).long()
    ours = torch.from_numpy(images[some.numpy()]).movedim(3, 1).float()
    return differ, float((ours - clean.images[places[some]]).abs().mean())


def _misnumbered(folder: Path, root: Path, paths: Sequence[Path], numbers: Tensor, count: int) -> UleError:
    """Return the error for numbers that no image of the training set can be found by."""
    times = Counter(numbers.tolist())
    twice = [
        path.relative_to(root).as_posix()
        for number, path in sorted(zip(numbers.tolist(), paths, strict=True))
        if times[number] > 1
    ]
    if twice:
        return UleError(
            f"{shown(folder)}: {few(twice)} share a number; each image of the set, or of the folder of a "
            "class, has its own"
        )
    highest = f"; the highest number is {int(numbers.max())}" if len(paths) <= count else ""
    return UleError(
        f"{shown(folder)} holds {len(paths)} PNGs where the training set has {count} images{highest}"
    )


def _decoded(paths: Sequence[Path], size: tuple[int, int]) -> NDArray[np.uint8]:
    images = np.empty((len(paths), size[1], size[0], 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _decode(paths[index], size)

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding the interpreter's lock
        list(pool.map(fill, range(len(paths))))
    return images


def _decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != size:  # before anything is unpacked
                raise UleError(
                    f"{shown(path)} is {image.width} x {image.height} pixels, "
                    f"but the training images are {size[0]} x {size[1]}"
                )
            if image.mode not in _FEWER_BITS:
                raise UleError(f"{shown(path)} is {image.mode}; 8 bits a channel are needed: save it as RGB")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UleError(f"{shown(path)} can't be read as a PNG ({error}); fetch or save it anew") from error
