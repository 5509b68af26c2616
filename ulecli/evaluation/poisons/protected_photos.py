"""Protected photos as an exploiter gets them: the files of `ulecli protect` after a platform's upload."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor

from ulecli.data.folder import list_pictures, read_pictures
from ulecli.data.images import ImageSet
from ulecli.errors import UleError, UsageError, shown, unknown
from ulecli.evaluation.poisons.files import few
from ulecli.imaging.upload import Upload


def read_photos(tree: Path, upload: Upload, size: int, jobs: int) -> ImageSet:
    """Read the photos under `tree/CLASS/` as an exploiter has them after an upload.

    Without an upload this is what `ulecli.data.folder.image_folder` reads, in the same order.

    Args:
        tree: The folder of class folders.
        upload: Applied to each photo in memory.
        size: Side in pixels of the square that each photo is squeezed to afterwards.
        jobs: Photos in work at the same time.

    Returns:
        Pictures of size x size: upright, RGB, their aspect given up.

    Raises:
        NoSuchPath: There is no such folder.
        UleError: There is no class folder, a class without a photo, or a photo that can't be read.
    """
    return read_pictures(list_pictures(tree), size, arrive=None if upload == Upload() else upload, jobs=jobs)


def read_protected(protected: Path, clean: Path, upload: Upload, size: int, jobs: int) -> ImageSet:
    """Read a protected copy of a tree, in the order and with the labels of the clean one.

    Args:
        protected: A protected copy of `clean`, or of the folder in which `clean` is called `train`.
        clean: The folder of class folders that was protected.
        upload: Applied to each photo in memory.
        size: Side in pixels of the square that each photo is squeezed to afterwards.
        jobs: Photos in work at the same time.

    Raises:
        NoSuchPath: There is no such folder.
        UleError: A photo of one tree has no partner in the other, or can't be read.
    """
    pairs = aligned(protected, clean)
    partner = {source: copy for copy, source in pairs}
    copies = {name: [partner[path] for path in members] for name, members in list_pictures(clean).items()}
    return read_pictures(copies, size, arrive=None if upload == Upload() else upload, jobs=jobs)


def aligned(protected: Path, clean: Path) -> tuple[tuple[Path, Path], ...]:
    """Pair the photos of two trees by path, or by path without ending where `protect` corrected the ending.

    Args:
        protected: A protected copy of `clean`, or of the folder in which `clean` is called `train`.
        clean: The folder of class folders that was protected.

    Returns:
        Protected and clean path of each photo, in the order of the clean tree.

    Raises:
        NoSuchPath: There is no such folder.
        UleError: A photo of one tree has no partner in the other.
    """
    sources = {_key(path, clean): path for members in list_pictures(clean).values() for path in members}
    root = protected
    if (protected / "train").is_dir() and not (clean / "train").is_dir():
        root = protected / "train"
    copies = {_key(path, root): path for members in list_pictures(root).values() for path in members}
    found = {key: copies.pop(key) for key in sources if key in copies}
    renamed: dict[str, list[str]] = {}
    for key in copies:
        renamed.setdefault(_stem(key), []).append(key)
    for key in sources:
        if key not in found and renamed.get(_stem(key)):
            found[key] = copies.pop(renamed[_stem(key)].pop())
    missing = [sources[key].relative_to(clean).as_posix() for key in sources if key not in found]
    if missing:
        raise UleError(
            f"{shown(protected)} lacks {few(missing)} of {shown(clean)}; protect the folder anew, or remove "
            "from it what can't be protected"
        )
    if copies:
        extra = [path.relative_to(root).as_posix() for path in copies.values()]
        raise UleError(
            f"{shown(protected)} holds {few(extra)}, which {shown(clean)} does not; name the folder that "
            "was protected"
        )
    return tuple((found[key], path) for key, path in sources.items())


def places_of(
    images: ImageSet, classes: Sequence[str], *, share: float = 1.0, seed: int | None = None
) -> Tensor:
    """Return the places of the photos of some classes, or of a share of them drawn at random.

    Args:
        images: The set.
        classes: Names of the classes.
        share: Above 0, at most 1: of each class, rounded, and one photo at least.
        seed: Decides with the name of each class which photos; None where the share is 1.

    Returns:
        (n,) int64, ascending.

    Raises:
        UsageError: The set has no such class, or none was named.
    """
    if not classes:
        raise UsageError(f"--only names no class; choose from {', '.join(images.classes)}")
    found = []
    for name in dict.fromkeys(classes):
        if name not in images.classes:
            raise unknown("class", name, images.classes)
        own = (images.labels == images.classes.index(name)).nonzero().flatten()
        if share < 1 and len(own):
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
            order = np.random.default_rng([seed or 0, *digest]).permutation(len(own))
            own = own[torch.from_numpy(order[: max(1, round(share * len(own)))])]
        found.append(own)
    return torch.cat(found).sort().values


def with_photos(clean: ImageSet, protected: ImageSet, places: Tensor) -> ImageSet:
    """Return the clean set with the photos at some places taken from the protected one.

    Args:
        clean: The set without protection.
        protected: In the order of `clean`.
        places: (n,) int64.

    Raises:
        ValueError: The two sets differ in shape or labels.
    """
    if protected.images.shape != clean.images.shape or not torch.equal(protected.labels, clean.labels):
        raise ValueError("the protected set does not hold the photos of the clean one")
    images = clean.images.clone()
    images[places] = protected.images[places]
    return replace(clean, images=images)


def _key(path: Path, tree: Path) -> str:
    """Return what a photo is called in both trees, whichever way a disk writes accents."""
    return unicodedata.normalize("NFC", path.relative_to(tree).as_posix())


def _stem(key: str) -> str:
    return PurePath(key).with_suffix("").as_posix()
