"""Photos that are changed and stored as `ulecli protect` stores them, and read as an exploiter gets them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ulecli.data.folder import list_pictures, read_pictures
from ulecli.errors import PhotoError, PhotoSkipped, UleError, shown
from ulecli.formats.picture import decode, encode
from ulecli.formats.registry import HEAD, SUFFIXES, sniff
from ulecli.imaging.delta import add_delta
from ulecli.imaging.upload import Upload

Progress = Callable[[int, int], None]
"""Called with the number of photos done and of all."""


@dataclass(frozen=True)
class StoredPhotos:
    """The photos of a tree, and how an exploiter gets what was made of them.

    Attributes:
        tree: The clean photos, one folder for each class.
        upload: What a platform does to each file.
        size: Side in pixels of the square that an exploiter squeezes photos to.
        jobs: Photos in work at the same time.
    """

    tree: Path
    upload: Upload
    size: int
    jobs: int

    def stored(
        self, chosen: Tensor, store: Callable[[Path, Path], Path], progress: Progress | None = None
    ) -> Tensor:
        """Return photos as an exploiter gets them once they were changed and stored.

        Args:
            chosen: (n,) int64, the places of the photos in the order of `list_pictures`.
            store: Writes a photo anew: from the photo, and what the new file is called without its ending,
                to the new file. Called from several threads.
            progress: Reports the photos that are done.

        Returns:
            (n, 3, size, size) uint8.

        Raises:
            UleError: A photo can't be read or stored.
        """
        paths = [path for members in list_pictures(self.tree).values() for path in members]
        some = [paths[place] for place in chosen.tolist()]
        images = torch.empty(len(some), 3, self.size, self.size, dtype=torch.uint8)
        arrive = None if self.upload == Upload() else self.upload
        with tempfile.TemporaryDirectory(prefix="ulecli-") as folder, ThreadPoolExecutor(self.jobs) as pool:

            def make(number: int) -> None:
                file = store(some[number], Path(folder) / f"{number}")
                try:
                    images[number] = read_pictures({"": [file]}, self.size, arrive=arrive, jobs=1).images[0]
                finally:
                    file.unlink()

            for done, _ in enumerate(pool.map(make, range(len(some))), 1):
                if progress is not None:
                    progress(done, len(some))
        return images

    def name(self, path: Path) -> str:
        """Return what a photo is called in the tree, which decides its noise."""
        return path.relative_to(self.tree).as_posix()


def generator(name: str) -> np.random.Generator:
    """Return the source of the random numbers of one photo, which its name alone decides."""
    return np.random.default_rng(list(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()))


def store_with(path: Path, delta: NDArray[np.int8], part: Path) -> Path:
    """Store a photo with a delta added, in its own format and as finely as `ulecli protect` would.

    Args:
        path: The photo.
        delta: (1 or 3, S, S) levels, or of any other height and width.
        part: What the new file is called, without its ending.

    Returns:
        The new file.

    Raises:
        UleError: The photo can't be read, or not be stored in its format.
    """
    try:
        with path.open("rb") as file:
            format = sniff(file.read(HEAD))
        if format not in SUFFIXES:
            raise PhotoSkipped("is of no format that `ulecli protect` writes")
        picture = decode(path, format, first_frame=True)
        add_delta(picture.image, delta, picture.pixels)
        stored = part.with_suffix(SUFFIXES[format][0])
        encode(picture, picture.image, stored)
    except (PhotoError, PhotoSkipped) as error:
        raise UleError(f"noise can't be put on {shown(path)}, which {error}; leave it out") from error
    except OSError as error:
        raise UleError(
            f"noise can't be put on {shown(path)}: {error.strerror or error}; see to the file, or to the "
            f"room in {shown(part.parent)}"
        ) from error
    return stored
