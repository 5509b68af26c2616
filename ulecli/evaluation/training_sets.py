"""The training sets of an evaluation: the controls, the defenders' and other people's, each kept in a file.

A set is written once and read by every process that trains on it; with an output folder it outlives the run,
so that nothing is protected twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulecli import __version__
from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError, UsageError, shown
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import CLASSWISE, NOISE, Progress, defend, defender_names
from ulecli.evaluation.poisons.audit import audit, warnings
from ulecli.evaluation.poisons.protected_photos import only_classes, read_photos, read_protected
from ulecli.evaluation.poisons.reading import read_poison
from ulecli.evaluation.results.record import CLEAN
from ulecli.surrogates import store
from ulecli.surrogates.recipe import RECIPES
from ulecli.system.atomic import replacing


@dataclass(frozen=True)
class TrainingSet:
    """What exploiters train on.

    Attributes:
        name: In tables.
        file: Where the images lie, (N, 3, H, W) uint8.
        labels: Where the labels lie, (N,) int64.
        classes: The name of each label.
        digest: md5 over all of it.
        audit: How the images differ from the clean ones; None for the clean ones.
        epsilon: Their bound in levels; 0 for clean images.
        warnings: What the audit found to warn of.
    """

    name: str
    file: Path
    labels: Path
    classes: tuple[str, ...]
    digest: str
    audit: dict[str, Any] | None = None
    epsilon: int = 0
    warnings: tuple[str, ...] = ()

    def read(self) -> ImageSet:
        """Map the images; what isn't touched takes no memory."""
        # Mode "c" is copy on write: torch can't hold what is read-only.
        images = torch.from_numpy(np.load(self.file, mmap_mode="c"))
        return ImageSet(images, torch.from_numpy(np.load(self.labels)), self.classes)


class Arms:
    """Builds the training sets of an evaluation.

    Args:
        config: What was asked.
        data: The clean data set.
        folder: Where sets are kept.
        progress: Told of the work of defenders.
    """

    def __init__(
        self, config: EvaluateConfig, data: Dataset, folder: Path, progress: Progress | None = None
    ) -> None:
        self._config, self._folder, self._progress = config, folder, progress
        self._whole = data.train
        if 0 < config.train_images < len(data.train.classes):
            raise UsageError(
                f"--train-images {config.train_images} leaves classes without an image: there are "
                f"{len(data.train.classes)} classes"
            )
        count = self._percent(sum(config.mix)) if config.mix else config.train_images
        self._picked = picked(data.train, count)
        self._clean = self._part(data.train)
        folder.mkdir(parents=True, exist_ok=True)

    def sets(self) -> Iterator[TrainingSet]:
        """Yield the controls first, then what is to be judged."""
        config = self._config
        # Read first: what is wrong with a file is told before a defender goes to work.
        poisons = [self._poison(path, name) for path, name in poison_names(config.poisons).items()]
        if config.controls:
            yield self._kept(CLEAN, "clean", lambda: self._clean, judged=False)
            yield self._defended(NOISE)
        for name in config.defenders:
            if name != NOISE or not config.controls:
                yield self._defended(name)
        yield from poisons
        if config.protected is not None:
            name = f"protected {'+'.join(config.only)}".strip()
            yield self._kept(name, "photos", self._photos, check=False)

    def _poison(self, path: Path, name: str) -> TrainingSet:
        poison = read_poison(path, self._whole, kind=self._config.poison_kind)
        made = self._kept(name, poison.images.digest, lambda: self._part(poison.images))
        found = {**(made.audit or {}), "source": str(path), "kind": poison.reading}
        return replace(made, audit=found, warnings=(*poison.notes, *made.warnings))

    def _defended(self, name: str) -> TrainingSet:
        config = self._config

        def make() -> ImageSet:
            made = defend(
                name,
                self._whole,
                chosen=self._picked,
                epsilon=config.epsilon,
                device=config.device,
                checkpoints=self._folder if config.out else None,
                progress=self._progress,
            )
            return only_classes(made, self._clean, config.only) if config.only else made

        identity = f"{identity_of(name)} eps {config.epsilon} on {config.device} only {config.only}"
        return self._kept(name, identity, make, check=not config.only)

    def _photos(self) -> ImageSet:
        config = self._config
        assert config.protected is not None
        tree = train_tree(Path(config.dataset))
        protected = self._part(read_protected(config.protected, tree, config.upload, config.side, jobs=4))
        return only_classes(protected, self._clean, config.only) if config.only else protected

    def _kept(
        self,
        name: str,
        identity: str,
        make: Callable[[], ImageSet],
        *,
        judged: bool = True,
        check: bool = True,
    ) -> TrainingSet:
        """Return a set from its file, or make it and write the file."""
        config = self._config
        data = f"{self._whole.digest} {config.mix} {config.train_images}"
        mark = hashlib.sha256(f"{name} {identity} {data} {__version__}".encode()).hexdigest()[:12]
        stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[-64:]}-{mark}"
        file, labels, notes = (self._folder / f"{stem}{end}" for end in (".npy", ".labels.npy", ".json"))
        if notes.exists() and identity != "photos":
            return self._read(name, file, labels, notes)
        made = make()
        epsilon = config.epsilon if judged else 0
        seen = audit(made, self._clean, source=name) if judged else None
        # Photos may leave the bound, by JPEG, and some stay as they are on purpose; all of them may not.
        found = warnings(seen, epsilon) if seen and (check or not seen.changed_share) else ()
        mixed = self._mixed(made)
        for path, values in ((file, mixed.images), (labels, mixed.labels)):
            with replacing(path) as part, part.open("wb") as stream:
                np.save(stream, values.numpy())
        entry = {
            "digest": mixed.digest,
            "audit": asdict(seen) if seen else None,
            "epsilon": epsilon,
            "warnings": found,
        }
        with replacing(notes) as part:
            part.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        return self._read(name, file, labels, notes)

    def _read(self, name: str, file: Path, labels: Path, notes: Path) -> TrainingSet:
        told = json.loads(notes.read_text(encoding="utf-8"))
        told["warnings"] = tuple(told["warnings"])
        return TrainingSet(name, file, labels, self._clean.classes, **told)

    def _part(self, images: ImageSet) -> ImageSet:
        """Return the picked images of a whole training set."""
        return images.subset(self._picked) if len(self._picked) < len(images) else images

    def _mixed(self, made: ImageSet) -> ImageSet:
        """Return the picked images, the first of each class clean where a mix is asked for."""
        if self._config.mix is None:
            return made
        first = picked(self._whole, self._percent(self._config.mix[0]))
        stays = torch.isin(self._picked, first)[:, None, None, None]
        return replace(made, images=torch.where(stays, self._clean.images, made.images))

    def _percent(self, share: int) -> int:
        """Return how many images a share of the training set is, at least one."""
        return max(1, round(len(self._whole) * share / 100))


def picked(images: ImageSet, count: int) -> Tensor:
    """Return the indices of `count` images, the first ones of each class in equal shares; all for 0.

    Raises:
        UsageError: there are not so many.
    """
    if not count:
        return torch.arange(len(images))
    if count > len(images):
        raise UsageError(f"--train-images is {count}, but the training set has {len(images)}")
    places = torch.empty(len(images), dtype=torch.float64)
    for label in range(len(images.classes)):
        own = (images.labels == label).nonzero().flatten()
        places[own] = torch.arange(len(own), dtype=torch.float64) / max(1, len(own))
    return places.argsort(stable=True)[:count].sort().values


def poison_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Name poisons in tables: by file, or by path where that is a control's, defender's or other's name."""
    shared = Counter(path.stem for path in dict.fromkeys(paths))
    taken = {"", CLEAN, *defender_names(), *(name for name, count in shared.items() if count > 1)}
    return {path: f"poison {path}" if path.stem in taken else path.stem for path in paths}


def identity_of(defender: str) -> str:
    """Return what decides a defender's work beside data and bound, in words."""
    stem = defender.removesuffix(CLASSWISE)
    if stem == NOISE:
        return defender
    card = store.directory() / f"{stem}.json"
    return f"{defender} {store.sha256_of(card.read_bytes()) if card.exists() else ''} {RECIPES[stem]!r}"


def train_tree(folder: Path) -> Path:
    """Return the folder of training photos of a data set of photos."""
    return folder / "train" if (folder / "train").is_dir() else folder


def photo_data(config: EvaluateConfig) -> Dataset:
    """Read the clean photos: those to train on after the protected ones' upload, the others as they are.

    Raises:
        NoSuchPath: there is no such folder.
        UleError: the folder holds no `train` and `test`.
    """
    folder = Path(config.dataset)
    if not folder.is_dir():
        raise NoSuchPath(f"there is no folder {shown(folder)}; name that of the photos that were protected")
    test = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test is None or not (folder / "train").is_dir():
        raise UleError(
            f"{shown(folder)} needs two folders, train and test, each with a folder of photos for each class"
        )
    train = read_photos(folder / "train", config.upload, config.side, jobs=4)
    clean = read_photos(test, type(config.upload)(), config.side, jobs=4)
    return Dataset(folder.resolve().name, train, clean)
