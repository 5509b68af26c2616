"""Training sets in files: written once, and read by every process that trains on them.

With an output folder they outlive the run, so that nothing is protected twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulecli import __version__
from ulecli.data.images import ImageSet
from ulecli.evaluation.poisons.poison_audit import audit, warnings
from ulecli.evaluation.results.record import CLEAN
from ulecli.system.atomic import replacing
from ulecli.system.writing import writing_to


@dataclass(frozen=True)
class TrainingSet:
    """What exploiters train on.

    Attributes:
        name: In tables.
        file: Where the images lie, (N, 3, H, W) uint8; where `places` are, these alone.
        labels: Where the labels lie, (N,) int64.
        classes: The name of each label.
        digest: md5 over all of it.
        audit: How the images differ from the clean ones; None for the clean ones.
        epsilon: Their bound in levels; 0 for clean images.
        warnings: What the audit found to warn of.
        places: Where the places among all images lie of those in `file`, (n,) int64; None for all of them.
        clean: Where the images lie that `file` lacks: all of them, without change.
        seed: The seed that it is trained on with; None for any.
    """

    name: str
    file: Path
    labels: Path
    classes: tuple[str, ...]
    digest: str
    audit: dict[str, Any] | None = None
    epsilon: int = 0
    warnings: tuple[str, ...] = ()
    places: Path | None = None
    clean: Path | None = None
    seed: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all images: N, channels, height, width."""
        return tuple(np.load(self.clean or self.file, mmap_mode="r").shape)

    @property
    def bytes(self) -> int:
        """Of all images."""
        return prod(self.shape)

    def read(self) -> ImageSet:
        """Map the images; what isn't touched takes no memory."""
        # Mode "c" is copy on write: torch can't hold what is read-only.
        images = torch.from_numpy(np.load(self.clean or self.file, mmap_mode="c"))
        if self.places is not None:
            images[torch.from_numpy(np.load(self.places))] = torch.from_numpy(np.load(self.file))
        return ImageSet(images, torch.from_numpy(np.load(self.labels)), self.classes)


@dataclass(frozen=True)
class Made:
    """A set that was just made.

    Attributes:
        images: The picked images, before any mix.
        epsilon: Their bound in levels; 0 for clean images, which are not audited.
        kind: How they were made, in words, for the record; empty where the name says it.
        remarks: What to warn of beside what the audit finds.
        bounded: Warn where they leave the bound, or where some are unchanged.
        figures: What else is known of them, for the record, by name.
    """

    images: ImageSet
    epsilon: int
    kind: str = ""
    remarks: tuple[str, ...] = ()
    bounded: bool = True
    figures: Mapping[str, float | str] = field(default_factory=dict)


def write_array(path: Path, values: Tensor) -> None:
    """Write numbers where every process can map them.

    Raises:
        TargetError: They can't be written, for instance because the disk is full.
    """
    with writing_to(path), replacing(path) as part, part.open("wb") as stream:
        np.save(stream, values.numpy())


def write_clean(name: str, images: ImageSet, folder: Path) -> TrainingSet:
    """Write clean images that are not trained on, and return them as a set.

    Args:
        name: Of the set.
        images: All of its images.
        folder: Where to; images of another size don't replace them.

    Raises:
        TargetError: They can't be written.
    """
    side = images.images.shape[-1]  # each part of an evaluation may have its own
    file, labels = folder / f"{name}-{side}.npy", folder / f"{name}-{side}.labels.npy"
    write_array(file, images.images)
    write_array(labels, images.labels)
    return TrainingSet(name, file, labels, images.classes, images.digest)


class SetFiles:
    """The training sets of one data set in one folder.

    Attributes:
        folder: Where they are kept.
    """

    def __init__(
        self, folder: Path, data_set: str, clean: ImageSet, finish: Callable[[ImageSet], ImageSet]
    ) -> None:
        """Make the folder if there is none.

        Args:
            folder: Where sets are kept.
            data_set: What decides the clean images, in words.
            clean: The clean images, which sets are compared with.
            finish: From a set as it was made to the one that is trained on, for instance with clean images
                mixed in.
        """
        self.folder = folder
        self._data_set, self._clean, self._finish = data_set, clean, finish
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def unchanged(self) -> TrainingSet:
        """Return the set of the clean images."""
        return self.kept(CLEAN, "clean", lambda: Made(self._clean, epsilon=0))

    def kept(
        self, name: str, identity: str, make: Callable[[], Made], *, places: Tensor | None = None
    ) -> TrainingSet:
        """Return a set from its file, or make it and write the file.

        Args:
            name: Of the set.
            identity: Whatever decides its images, beside the data set and what is picked of it.
            make: Makes it.
            places: (n,) int64, of the images that alone are changed, so that no others are written; None for
                all of them.
        """
        stem = self._stem(name, identity)
        notes = self.folder / f"{stem}.json"
        if not notes.exists():
            self._write(stem, name, make(), places)
        shutil.rmtree(self.unfinished(name, identity), ignore_errors=True)
        entry = json.loads(notes.read_text(encoding="utf-8"))
        entry["warnings"] = tuple(entry["warnings"])
        file, labels = self.folder / f"{stem}.npy", self.folder / f"{stem}.labels.npy"
        made = TrainingSet(name, file, labels, self._clean.classes, **entry)
        if places is None:
            return made
        return replace(made, places=self.folder / f"{stem}.places.npy", clean=self.unchanged().file)

    def is_kept(self, name: str, identity: str) -> bool:
        """Return whether a set is there, so that `kept` won't make it."""
        return (self.folder / f"{self._stem(name, identity)}.json").exists()

    def unfinished(self, name: str, identity: str) -> Path:
        """Return the folder for what is done of a set that is being made; it goes when the set is kept."""
        return self.folder / f"{self._stem(name, identity)}.unfinished"

    def _stem(self, name: str, identity: str) -> str:
        mark = hashlib.sha256(f"{name} {identity} {self._data_set} {__version__}".encode()).hexdigest()[:12]
        return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[-64:]}-{mark}"

    def _write(self, stem: str, name: str, made: Made, places: Tensor | None) -> None:
        """Write a set that was just made; its notes come last, so that an interrupted one is made again."""
        seen = audit(made.images, self._clean, source=name, kind=made.kind) if made.epsilon else None
        # All of the images may not be as they were, bounded or not.
        judged = seen is not None and (made.bounded or not seen.changed_share)
        found = warnings(seen, made.epsilon) if seen and judged else ()
        final = self._finish(made.images)
        arrays = {"": final.images, ".labels": final.labels}
        if places is not None:
            arrays |= {"": final.images[places], ".places": places}
        for end, values in arrays.items():
            write_array(self.folder / f"{stem}{end}.npy", values)
        entry = {
            "digest": final.digest,
            "audit": {**asdict(seen), **made.figures} if seen else None,
            "epsilon": made.epsilon,
            "warnings": (*made.remarks, *found),
        }
        with writing_to(self.folder), replacing(self.folder / f"{stem}.json") as part:
            part.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
