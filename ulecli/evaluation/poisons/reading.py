"""Other people's poisons of a training set: whole images or perturbations, from files as they are published.

A perturbation is added to the clean images before any rounding, both signs of it. The code that EM, ULEO and
ULEO-GrayAugs were published with sets negative values to 0 before it adds and truncates afterwards, so their
published accuracies are for one-sided poisons; whole images that such code made are read as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError, nearest, shown
from ulecli.evaluation.poisons.alignment import align
from ulecli.evaluation.poisons.content import FAR, Meaning, PoisonKind, chunks, interpret
from ulecli.evaluation.poisons.files import Arrays, few, read_arrays
from ulecli.evaluation.poisons.numbered import read_numbered
from ulecli.units import LEVELS


@dataclass(frozen=True, eq=False)
class Poison:
    """A poisoned training set, aligned with the clean one.

    Attributes:
        images: What an exploiter trains on, in the order of the clean set and with its classes.
        source: Where it was read.
        kind: Images or perturbation, as demanded or decided.
        reading: How the numbers were understood, in words.
        notes: What the user should look at, one line each.
        labels_differ: Of the images that the source has labels for, the share whose label is not the official
            one, 0 to 1.
    """

    images: ImageSet
    source: Path
    kind: PoisonKind
    reading: str
    notes: tuple[str, ...] = ()
    labels_differ: float = 0.0


def read_poison(path: Path, clean: ImageSet, *, kind: PoisonKind = PoisonKind.AUTO) -> Poison:
    """Read a poison that ulecli did not make.

    A file (.npy, .npz, .safetensors, .pt, .pth, .pkl) holds one array, or one called images, data, x, noise,
    delta or perturbation; beside it there may be labels (or y, targets), as whole numbers, a column of them
    or one-hot, and indices, the places of the images where they are not the whole set. A folder holds PNGs
    with numbers, see `numbered.read_numbered`. Shapes are (N, 3, H, W), (N, H, W, 3), and for one value tied
    across RGB (N, 1, H, W), (N, H, W, 1), (N, H, W); rows of 3HW numbers beside labels are all red, then
    green, then blue, as in CIFAR's own files, and a note says so. As many perturbations as there are classes
    go to the images by label. Images with labels may be in an order of their own and a part of the set, see
    `alignment.align`.

    Args:
        path: The file or folder.
        clean: The training set it was made for, in its official order.
        kind: Whole images or perturbation; `AUTO` decides by the numbers, see `content.interpret`.

    Returns:
        Images of whole levels: clean plus perturbation, clamped to 0 to 255, rounded once; images that the
        source lacks stay clean. Labels are the source's own where it has them beside whole images, else those
        of the clean set; where the two differ, or some images stay clean, a note says so.

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
    found = read_numbered(path, clean) if path.is_dir() else read_arrays(path)
    values = _planes(found, height, width, path)
    _check_finite(values, path)
    places = align(values, found, clean, kind, path)
    try:
        meaning = interpret(values, clean, places, kind)
    except ValueError as error:
        raise UleError(f"{shown(path)}: {error}") from error
    if places is None and float(values.float().abs().mean()) * meaning.scale > FAR:
        raise UleError(
            f"{shown(path)} holds {len(values)} images where the training set has {len(clean)}; add their "
            "places as an array called indices"
        )
    if places is None and found.labels is not None and len(torch.unique(found.labels)) == len(values):
        values, found = values[found.labels.argsort()], replace(found, labels=None)
    differ = _differing(found, clean, places)
    labels = clean.labels
    if own := found.labels is not None and places is not None and meaning.kind is PoisonKind.IMAGES:
        labels = labels.index_copy(0, places, found.labels)
    images = _applied(values, clean, places, meaning)
    return Poison(
        images=ImageSet(images, labels, clean.classes),
        source=path,
        kind=meaning.kind,
        reading=_reading(meaning, found, places),
        notes=(
            *_row_notes(found, path),
            *_label_notes(differ, path, own=own),
            *_part_notes(places, clean, path),
        ),
        labels_differ=int(differ.sum()) / max(1, len(differ)),
    )


def _planes(found: Arrays, height: int, width: int, path: Path) -> Tensor:
    """Return values as (n, C, H, W) with C of 1 or 3, as a view."""
    values = found.values
    shape = tuple(values.shape[1:])
    if shape in ((3, height, width), (1, height, width)):
        return values
    if shape in ((height, width, 3), (height, width, 1)):
        return values.movedim(3, 1)
    if shape == (height, width):
        return values[:, None]
    if shape == (3 * height * width,) and found.labels is not None:
        return values.view(-1, 3, height, width)
    raise UleError(
        f"{shown(path)} is of shape {tuple(values.shape)}; this training set needs (N, 3, {height}, {width}) "
        f"or (N, {height}, {width}, 3)"
    )


def _check_finite(values: Tensor, path: Path) -> None:
    if not values.is_floating_point():
        return
    for part in chunks(len(values), values[0].numel()):
        bad = ~values[part].float().isfinite().flatten(1).all(1)
        if bad.any():
            first = part.start + int(bad.nonzero()[0])
            raise UleError(f"{shown(path)} holds NaN or infinity, first in image {first}; it is damaged")


def _differing(found: Arrays, clean: ImageSet, places: Tensor | None) -> Tensor:
    """Return whether the label of each value is another than the data set's; empty where there are none."""
    if found.labels is None:
        return torch.empty(0, dtype=torch.bool)
    return found.labels != (torch.arange(len(clean.classes)) if places is None else clean.labels[places])


def _reading(meaning: Meaning, found: Arrays, places: Tensor | None) -> str:
    """Say how the numbers were understood."""
    if places is None:
        return f"{meaning}, one for each class"
    stated = torch.arange(len(places)) if found.indices is None else found.indices
    return str(meaning) if torch.equal(places, stated) else f"{meaning}, in an order of their own"


def _row_notes(found: Arrays, path: Path) -> tuple[str, ...]:
    if found.values.ndim != 2:
        return ()
    return (f"the rows of {shown(path)} were read as CIFAR's: all red values, then green, then blue",)


def _label_notes(differ: Tensor, path: Path, *, own: bool) -> tuple[str, ...]:
    if not differ.any():
        return ()
    used = "trained on as they are there" if own else "not used"
    return (
        f"labels don't match the poison: {int(differ.sum())} of {len(differ)} in {shown(path)} differ from "
        f"the data set's, first that of image {int(differ.nonzero()[0])}, and are {used}; it may be in "
        "another order, or of another data set",
    )


def _part_notes(places: Tensor | None, clean: ImageSet, path: Path) -> tuple[str, ...]:
    if places is None or len(places) == len(clean):
        return ()
    lacks = torch.ones(len(clean), dtype=torch.bool).index_fill(0, places, False).nonzero().flatten()
    return (
        f"{shown(path)} holds {len(places)} of {len(clean)} images; those it lacks stay clean: "
        f"{few(list(map(str, lacks.tolist())))}",
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
