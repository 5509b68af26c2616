"""Protected photos as an exploiter gets them: the files of `ulecli protect` after a platform's upload."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ulecli.data import SUFFIXES, ImageSet
from ulecli.errors import NoSuchPath, UleError, UsageError, shown
from ulecli.poisons.files import few
from ulecli.poisons.uploads import Upload


def read_photos(tree: Path, upload: Upload, size: int, jobs: int) -> ImageSet:
    """Read the photos under `tree/CLASS/` as an exploiter has them after an upload.

    Without an upload this is what `ulecli.data.image_folder` reads, in the same order.

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
    return _read(_photos(tree), upload, size, jobs)


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
    copies = {name: [partner[path] for path in members] for name, members in _photos(clean).items()}
    return _read(copies, upload, size, jobs)


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
    sources = {_key(path, clean): path for members in _photos(clean).values() for path in members}
    root = protected
    if (protected / "train").is_dir() and not (clean / "train").is_dir():
        root = protected / "train"
    copies = {_key(path, root): path for members in _photos(root).values() for path in members}
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


def only_classes(protected: ImageSet, clean: ImageSet, classes: Sequence[str]) -> ImageSet:
    """Return the clean set with the photos of some classes taken from the protected one.

    Args:
        protected: In the order of `clean`.
        clean: The set without protection.
        classes: Names of the classes that shall be protected.

    Raises:
        UsageError: The set has no such class, or none was named.
        ValueError: The two sets differ in shape or labels.
    """
    if protected.images.shape != clean.images.shape or not torch.equal(protected.labels, clean.labels):
        raise ValueError("the protected set does not hold the photos of the clean one")
    if not classes:
        raise UsageError(f"--only names no class; choose from {', '.join(clean.classes)}")
    for name in classes:
        if name not in clean.classes:
            near = get_close_matches(name, clean.classes, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"there is no class {name!r}, only {', '.join(clean.classes)}{hint}")
    wanted = torch.tensor([name in classes for name in clean.classes])
    chosen = wanted[clean.labels][:, None, None, None]
    return replace(clean, images=torch.where(chosen, protected.images, clean.images))


def _photos(tree: Path) -> dict[str, list[Path]]:
    """Return the photos of each class, both sorted as `ulecli.data.image_folder` sorts them."""
    if not tree.is_dir():
        raise NoSuchPath(f"there is no folder {shown(tree)}; name the folder of one folder for each class")
    folders = sorted(path for path in tree.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise UleError(f"{shown(tree)} holds no folder; a data set is one folder of photos for each class")
    found = {folder.name: sorted(_within(folder)) for folder in folders}
    empty = [name for name, members in found.items() if not members]
    if empty:
        raise UleError(f"{shown(tree / empty[0])} holds no photo; remove the folder or fill it")
    return found


def _within(folder: Path) -> Iterable[Path]:
    return (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _key(path: Path, tree: Path) -> str:
    """Return what a photo is called in both trees, whichever way a disk writes accents."""
    return unicodedata.normalize("NFC", path.relative_to(tree).as_posix())


def _stem(key: str) -> str:
    return PurePath(key).with_suffix("").as_posix()


def _read(photos: Mapping[str, Sequence[Path]], upload: Upload, size: int, jobs: int) -> ImageSet:
    paths = [path for members in photos.values() for path in members]
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _seen(paths[index], upload, size)

    with ThreadPoolExecutor(jobs) as pool:  # Pillow works without holding the interpreter's lock
        list(pool.map(fill, range(len(paths))))
    counts = torch.tensor([len(members) for members in photos.values()])
    labels = torch.arange(len(photos)).repeat_interleave(counts)
    return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels, tuple(photos))


def _seen(path: Path, upload: Upload, size: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) uint8 RGB, as `ulecli.data.image_folder` decodes what the upload left."""
    try:
        with Image.open(path) as image:
            stored = image if upload == Upload() else upload(_upright(image))
            stored.draft(None, (2 * size, 2 * size))  # lets JPEG decode at a fraction of its size
            photo = _upright(stored)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UleError(f"{shown(path)} can't be read as a picture ({error}); repair or remove it") from error
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR))


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image).convert("RGB")
