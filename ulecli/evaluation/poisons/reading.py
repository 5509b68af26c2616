"""Other people's poisons of a training set: whole images or perturbations, from files as they are published.

A perturbation is added to the clean images before any rounding, both signs of it. The code that EM, ULEO and
ULEO-GrayAugs were published with sets negative values to 0 before it adds and truncates afterwards, so their
published accuracies are for one-sided poisons; whole images that such code made are read as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError, nearest, shown
from ulecli.evaluation.poisons.content import FAR, Meaning, PoisonKind, chunks, interpret
from ulecli.evaluation.poisons.files import Arrays, read_arrays
from ulecli.evaluation.poisons.numbered import read_numbered
from ulecli.units import LEVELS


@dataclass(frozen=True, eq=False)
class Poison:
    """A poisoned training set, aligned with the clean one.

    Attributes:
        images: What an exploiter trains on: the clean set's labels and classes, other images.
        source: Where it was read.
        kind: Images or perturbation, as demanded or decided.
        reading: How the numbers were understood, in words.
        notes: What the user should look at, one line each.
    """

    images: ImageSet
    source: Path
    kind: PoisonKind
    reading: str
    notes: tuple[str, ...] = ()


def read_poison(path: Path, clean: ImageSet, *, kind: PoisonKind = PoisonKind.AUTO) -> Poison:
    """Read a poison that ulecli did not make.

    A file (.npy, .npz, .safetensors, .pt, .pth) holds one array, or one called images, data, x, noise, delta
    or perturbation; beside it there may be labels (or y, targets) and indices, the places of the images where
    they are not the whole set. A folder holds numbered PNGs, see `numbered.read_numbered`. Shapes are
    (N, 3, H, W), (N, H, W, 3), and for one value tied across RGB (N, 1, H, W), (N, H, W, 1), (N, H, W); as
    many perturbations as there are classes go to the images by label.

    Args:
        path: The file or folder.
        clean: The training set it was made for, in its official order.
        kind: Whole images or perturbation; `AUTO` decides by the numbers, see `content.interpret`.

    Returns:
        Images of whole levels: clean plus perturbation, clamped to 0 to 255, rounded once. Labels are those
        of the clean set; where the file's differ, a note says so.

    Raises:
        NoSuchPath: There is nothing at `path`.
        UleError: It can't be read, or does not fit the training set: count, shape, dtype, NaN or infinity.
    """
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NoSuchPath(
            f"there is no poison {shown(path)}; name a file or a folder of numbered PNGs"
            f"{nearest(path.name, beside)}"
        )
    height, width = clean.images.shape[2:]
    if path.is_dir():
        found = read_numbered(path, len(clean), (width, height), clean.classes)
    else:
        found = read_arrays(path)
    values = _planes(found.values, height, width, path)
    places = _places(found, clean, kind, path)
    _check_finite(values, path)
    try:
        meaning = interpret(values, clean, places, kind)
    except ValueError as error:
        raise UleError(f"{shown(path)}: {error}") from error
    if places is None and float(values.float().abs().mean()) * meaning.scale > FAR:
        raise UleError(
            f"{shown(path)} holds {len(values)} images where the training set has {len(clean)}; add their "
            "places as an array called indices"
        )
    notes = _label_notes(found, clean, places, path)
    images = _applied(values, clean, places, meaning)
    reading = f"{meaning}{', one for each class' if places is None else ''}"
    return Poison(ImageSet(images, clean.labels, clean.classes), path, meaning.kind, reading, notes)


def _planes(values: Tensor, height: int, width: int, path: Path) -> Tensor:
    """Return values as (n, C, H, W) with C of 1 or 3, as a view."""
    shape = tuple(values.shape[1:])
    if shape in ((3, height, width), (1, height, width)):
        return values
    if shape in ((height, width, 3), (height, width, 1)):
        return values.movedim(3, 1)
    if shape == (height, width):
        return values[:, None]
    raise UleError(
        f"{shown(path)} is of shape {tuple(values.shape)}; this training set needs (N, 3, {height}, {width}) "
        f"or (N, {height}, {width}, 3)"
    )


def _places(found: Arrays, clean: ImageSet, kind: PoisonKind, path: Path) -> Tensor | None:
    """Return the clean image of each value, (n,); None where there is one value for each class."""
    count = len(found.values)
    if found.indices is not None:
        places = found.indices.long()
        if int(places.min()) < 0 or int(places.max()) >= len(clean) or len(torch.unique(places)) < count:
            raise UleError(
                f"the indices in {shown(path)} must be {count} different ones of 0 to {len(clean) - 1}"
            )
        return places
    if count == len(clean):
        return torch.arange(count)
    if count == len(clean.classes) and kind is not PoisonKind.IMAGES:
        return None
    raise UleError(
        f"{shown(path)} holds {count} images where the training set has {len(clean)}; a part of it needs an "
        "array called indices beside it"
    )


def _check_finite(values: Tensor, path: Path) -> None:
    if not values.is_floating_point():
        return
    for part in chunks(len(values), values[0].numel()):
        bad = ~values[part].float().isfinite().flatten(1).all(1)
        if bad.any():
            first = part.start + int(bad.nonzero()[0])
            raise UleError(f"{shown(path)} holds NaN or infinity, first in image {first}; it is damaged")


def _label_notes(found: Arrays, clean: ImageSet, places: Tensor | None, path: Path) -> tuple[str, ...]:
    if found.labels is None:
        return ()
    official = torch.arange(len(clean.classes)) if places is None else clean.labels[places]
    differ = (found.labels.long() != official).nonzero().flatten()
    if not len(differ):
        return ()
    first = int(differ[0])
    return (
        f"labels don't match the poison: {len(differ)} of {len(official)} in {shown(path)} differ from the "
        f"data set's, first that of image {first}; it may be in another order, or of another data set",
    )


def _applied(values: Tensor, clean: ImageSet, places: Tensor | None, meaning: Meaning) -> Tensor:
    """Return the poisoned images, (N, 3, H, W) uint8."""
    images = clean.images.clone()
    for part in chunks(len(values) if places is not None else len(clean), clean.images[0].numel()):
        to = torch.arange(part.start, part.stop) if places is None else places[part]
        levels = values[clean.labels[to] if places is None else part].float() * meaning.scale
        if meaning.kind is PoisonKind.PERTURBATION:
            levels = levels + clean.images[to]
        images[to] = levels.round_().clamp_(0, LEVELS).to(torch.uint8).expand(-1, 3, -1, -1)
    return images
