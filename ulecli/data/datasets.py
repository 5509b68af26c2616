"""Data sets by name, or by the folder that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from ulecli.data.cifar import cifar10, cifar100, default_root
from ulecli.data.folder import image_folder, split_folder
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import UleError, UsageError, unknown

DATASETS: Mapping[str, str] = MappingProxyType(
    {
        "cifar10": "50,000 training and 10,000 test images of 32 x 32, 10 classes (Krizhevsky 2009)",
        "cifar100": "as many of 100 classes",
        "shapes": "2,000 and 500 drawn here, 10 classes: to try the command, not to judge a protection by",
    }
)
"""Names that are no folder, and what they stand for."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test pictures of the same classes and size.

    Attributes:
        name: What it is called in results.
        train: What is protected and trained on.
        test: What accuracy is measured on.

    Raises:
        UleError: The two don't fit together, or there is only one class.
    """

    name: str
    train: ImageSet
    test: ImageSet

    def __post_init__(self) -> None:
        train, test = self.train.classes, self.test.classes
        if train != test:
            alone = ", ".join(sorted(set(train) ^ set(test))) or "the order differs"
            raise UleError(f"{self.name}: training and test pictures are of different classes ({alone})")
        if len(train) < 2:
            raise UleError(
                f"{self.name} has the class {train[0]} alone; add a folder of pictures of a second class"
            )

    @cached_property
    def digest(self) -> str:
        """The md5 over both sets, in hex; the same on every machine."""
        return hashlib.md5(
            f"{self.train.digest}{self.test.digest}".encode(), usedforsecurity=False
        ).hexdigest()


def open_dataset(name: str, root: Path | None = None, *, size: int = 0, download: bool = True) -> Dataset:
    """Read a data set.

    Args:
        name: One of `DATASETS`, or a folder of one folder of pictures for each class: either in `train` and
            `test` (or `val`) within it, or all together, of which every fifth picture becomes a test picture.
        root: Where CIFAR lies; None for the usual place.
        size: Side in pixels of the squares that pictures of a folder are squeezed to; 0 for 64.
        download: Fetch CIFAR if it is not there.

    Raises:
        UsageError: There is no such data set and no such folder, or it can't have that size.
        UleError: It can't be read or had, or its classes don't fit.
    """
    if size < 0:
        raise UsageError(
            f"--size is {size}, but pictures can't have sides of {size} pixels; name a side above 0"
        )
    if name in DATASETS and size not in (0, 32):
        raise UsageError(f"{name} is 32 x 32; --size is for folders of photos")
    if name == "shapes":
        return Dataset(name, shapes(2000), shapes(500, seed=1))
    if name in DATASETS:
        read = cifar10 if name == "cifar10" else cifar100
        where = root or default_root()
        parts = (read(where, train=train, download=download) for train in (True, False))
        return Dataset(name, *parts)
    folder = Path(name)
    if not folder.is_dir():
        beside = [str(path) for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise unknown("data set and no folder", name, [*DATASETS, *beside], ", ".join(DATASETS))
    test = next((folder / part for part in ("test", "val") if (folder / part).is_dir()), None)
    if test is not None and (folder / "train").is_dir():
        train = image_folder(folder / "train", size or 64)
        return Dataset(folder.resolve().name, train, image_folder(test, size or 64))
    return Dataset(folder.resolve().name, *split_folder(image_folder(folder, size or 64)))
