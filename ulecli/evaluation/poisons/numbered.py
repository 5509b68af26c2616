"""A folder of PNGs that are numbered in the order of the data set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import UleError, shown
from ulecli.evaluation.poisons.files import Arrays, few

_FEWER_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
"""Pillow's modes that 8 bits a channel hold without loss."""


def read_numbered(folder: Path, count: int, size: tuple[int, int], classes: Sequence[str]) -> Arrays:
    """Read `0.png` to `49999.png`, sorted by number: `2.png`, `00002.png` and `img_2.png` are the third.

    The last digits of a name are its number. The files lie in the folder itself, or in folders of it, one for
    each class; the numbers then go on from class to class. The first number may be 0 or 1.

    Args:
        folder: Where the files are.
        count: How many there must be.
        size: Width and height that each must have.
        classes: Names of the classes; where the folders are called so, or by the labels' numbers,
            they become labels.

    Returns:
        Images (N, H, W, 3) uint8 RGB.

    Raises:
        UleError: A name without a number, a number that is there twice or missing, or a file that is no PNG
            of that size with 8 bits a channel.
    """
    paths = _in_order(folder, count)
    images = np.empty((count, size[1], size[0], 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _decode(paths[index], size)

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding the interpreter's lock
        list(pool.map(fill, range(count)))
    named = {str(label): label for label in range(len(classes))}
    named.update({name: label for label, name in enumerate(classes)})
    labels = [named.get(path.parent.name) if path.parent != folder else None for path in paths]
    known = [label for label in labels if label is not None]
    return Arrays(torch.from_numpy(images), torch.tensor(known) if len(known) == count else None)


def _in_order(folder: Path, count: int) -> list[Path]:
    found = sorted(
        path
        for path in (*folder.glob("*"), *folder.glob("*/*"))
        if path.suffix.lower() == ".png" and path.is_file() and not _hidden(path.relative_to(folder))
    )
    if not found:
        raise UleError(f"{shown(folder)} holds no PNG; a folder poison is PNGs numbered in data-set order")
    numbers = {path: re.findall("[0-9]+", path.stem) for path in found}
    nameless = [path.name for path in found if not numbers[path]]
    if nameless:
        raise UleError(f"{shown(folder)}: {few(nameless)} without a number; name the PNGs 0.png, 1.png, ...")
    numbered = sorted((int(numbers[path][-1]), path) for path in found)
    times = Counter(number for number, _ in numbered)
    twice = [path.relative_to(folder).as_posix() for number, path in numbered if times[number] > 1]
    if twice:
        raise UleError(f"{shown(folder)}: {few(twice)} share a number; each image of the set has its own")
    first = min(1, numbered[0][0])
    missing = [str(number) for number in range(first, first + count) if number not in times]
    if missing or len(found) != count:
        gaps = f"; numbers {few(missing)} are missing" if missing else ""
        raise UleError(
            f"{shown(folder)} holds {len(found)} PNGs where the training set has {count} images{gaps}"
        )
    return [path for _, path in numbered]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


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
