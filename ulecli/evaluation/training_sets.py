"""The training sets of an evaluation: the controls, the defenders' and other people's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.errors import UsageError
from ulecli.evaluation import crafted
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import CLASSWISE, DEFENDERS, defend, is_fixed
from ulecli.evaluation.order import Progress
from ulecli.evaluation.own_surrogates import find_surrogate
from ulecli.evaluation.photo_plan import PhotoPlan, photo_set_names, photo_set_sizes
from ulecli.evaluation.photo_sets import PhotoSets
from ulecli.evaluation.plugins import Plugin
from ulecli.evaluation.poisons.reading import read_poison
from ulecli.evaluation.results.record import CLEAN, CLEAN_SHARE, CONTROLS, LABELS_DIFFER, NOISE
from ulecli.evaluation.set_files import Made, SetFiles, TrainingSet
from ulecli.evaluation.set_protection import SetProtection
from ulecli.evaluation.validation import validation_places
from ulecli.surrogates import store
from ulecli.surrogates.recipe import ON, find_recipe


class TrainingSets:
    """Builds the training sets of an evaluation.

    Args:
        config: What was asked.
        data: The clean data set.
        folder: Where sets are kept.
        progress: Receives reports of the work of defenders.

    Attributes:
        count: Number of images in each set, but for the clean share of a mix.
        least: Number of images in the smallest set.
        clean: The images that are trained on, before anything is done to them.
        validation: Clean images that are in no set, which exploiters may validate on; None for none.

    Raises:
        UsageError: There are too few images, or none of a class to train or to validate on.
    """

    def __init__(
        self, config: EvaluateConfig, data: Dataset, folder: Path, progress: Progress | None = None
    ) -> None:
        self._config, self._progress = config, progress
        self._whole = data.train
        if 0 < config.train_images < len(data.train.classes):
            raise UsageError(
                f"--train-images {config.train_images} leaves classes without an image: there are "
                f"{len(data.train.classes)} classes"
            )
        self._held = validation_places(data.train, config.validation)
        self.validation = data.train.subset(self._held) if len(self._held) else None
        count = self._percent(sum(config.mix)) if config.mix else config.train_images
        self._picked = picked(data.train, count, self._held)
        self.count = len(self._picked)
        self._shares = bool(config.mix and config.controls and not config.each)
        self.least = self._percent(config.mix[0]) if config.mix and self._shares else self.count
        self.clean = self._part(data.train)
        self._poisons: list[TrainingSet] | None = None
        self._left_out = f" validation {config.validation}" if config.validation else ""
        data_set = f"{data.train.digest} {config.mix} {config.train_images}{self._left_out}"
        self._files = SetFiles(folder, data_set, self.clean, self._mixed)

    def names(self) -> tuple[str, ...]:
        """Return the names of all sets, the controls first, without making any."""
        config = self._config
        share = (CLEAN_SHARE,) if self._shares else ()
        if config.protected is not None:
            return (*share, *photo_set_names(config, self._whole.classes))
        clean = (CLEAN,) if config.controls else ()
        return tuple(dict.fromkeys((*share, *clean, *self._defenders(), *self._poison_names().values())))

    def to_make(self) -> Iterator[tuple[str, int, str]]:
        """Yield the defenders whose sets are not kept from an earlier run, each with its seed.

        Yields:
            A name, a seed, and what reports of the work begin with.
        """
        for name in self._defenders():
            for seed in self._seeds(name):
                if not self._files.is_kept(name, self._identity(name, seed)):
                    yield name, seed or 0, self._label(name, seed)

    def is_cached(self, name: str, seed: int) -> bool:
        """Return whether an earlier run has made what a surrogate adds, which needs no training any more.

        Args:
            name: Of its recipe.
            seed: Of its set.
        """
        config, own = self._config, self._whole.subset(self._picked)
        surrogate = find_surrogate(name, self._whole, seed, config.device)
        return SetProtection(surrogate, own, config.epsilon, seed, config.device).is_kept()

    def read_poisons(self) -> list[TrainingSet]:
        """Read other people's files; `sets` does it first where this was not called.

        Raises:
            UleError: One can't be read or does not fit the data set.
        """
        if self._poisons is None:
            self._poisons = [self._poison(path, name) for path, name in self._poison_names().items()]
        return self._poisons

    def _poison_names(self) -> dict[Path, str]:
        return poison_names(self._config.poisons, self._config.known.defenders)

    def sets(self) -> Iterator[TrainingSet]:
        """Yield the controls first, then what is to be judged."""
        config = self._config
        poisons = self.read_poisons()
        if self._shares:
            yield self._clean_share()
        if config.protected is not None:
            photos = PhotoSets(config, self._whole, self._picked, self._progress)
            yield from PhotoPlan(config, photos, self._files).sets()
            return
        if config.controls:
            yield self._files.unchanged()
        for name in self._defenders():
            for seed in self._seeds(name):
                yield replace(self._defended(name, seed), seed=seed)
        yield from poisons

    @property
    def drawn(self) -> bool:
        """Whether each seed has sets of its own: of defenders who draw or are trained now, or of a share."""
        if self._config.protected is not None:
            return self._config.share < 1
        return any(None not in self._seeds(name) for name in self._defenders())

    @property
    def size(self) -> int:
        """Bytes of images that the sets take and that are not in the folder yet."""
        config, one = self._config, self.count * self._whole.images[0].numel()
        if config.protected is not None:
            sets = photo_set_sizes(config, self.clean)
        else:
            clean = 1.0 if config.controls else 0.0
            clean += self.least / self.count if self._shares else 0.0
            drawn = [len(self._seeds(name)) for name in self._defenders()]
            sets = clean + sum(drawn) + len(self._poison_names())
        there = sum(file.stat().st_size for file in self._files.folder.glob("*.npy"))
        return max(0, int(sets * one) - there)

    def seed_notes(self) -> Iterator[str]:
        """Yield a line if seeds vary the exploiters alone under some defenders."""
        fixed = [name for name in self._defenders() if None in self._seeds(name)]
        if fixed and len(set(self._config.seeds)) > 1:
            yield f"{', '.join(fixed)}: protected alike for every seed, so ± is that of the exploiter alone"

    def _defenders(self) -> tuple[str, ...]:
        """Return who protects sets now, the control of noise first."""
        if self._config.protected is not None:
            return ()
        noise = (NOISE,) if self._config.controls and self._config.noise else ()
        return tuple(dict.fromkeys((*noise, *self._config.defender_names)))

    def _seeds(self, name: str) -> tuple[int | None, ...]:
        """Return the seeds that a defender makes a set for; None stands for one set for all of them."""
        fixed = is_fixed(name, len(self._whole.classes), self._config.known.defenders)
        return (None,) if fixed else tuple(dict.fromkeys(self._config.seeds))

    def _clean_share(self) -> TrainingSet:
        """Return the images of a mix that are clean in each of its sets."""
        share = self._whole.subset(picked(self._whole, self.least, self._held))
        data_set = f"{self._whole.digest} {self.least}{self._left_out}"
        files = SetFiles(self._files.folder, data_set, share, lambda made: made)
        return files.kept(CLEAN_SHARE, "clean", lambda: Made(share, epsilon=0))

    def _poison(self, path: Path, name: str) -> TrainingSet:
        poison = read_poison(path, self._whole, kind=self._config.poison_kind)
        images = self._part(poison.images)
        made = self._files.kept(name, poison.images.digest, lambda: Made(images, self._config.epsilon))
        read = {"source": str(path), "kind": poison.reading, LABELS_DIFFER: poison.labels_differ}
        found = {**(made.audit or {}), **read}
        return replace(made, audit=found, warnings=(*poison.notes, *made.warnings))

    def _defended(self, name: str, seed: int | None) -> TrainingSet:
        config = self._config
        identity = self._identity(name, seed)
        label, words = (
            self._label(name, seed),
            "alike for every seed" if seed is None else f"with seed {seed}",
        )

        def report(what: str, done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(f"{label}: {what}", done, total)

        def make() -> Made:
            remarks: list[str] = []
            made = defend(
                name,
                self._whole,
                chosen=self._picked,
                epsilon=config.epsilon,
                seed=seed or 0,
                device=config.device,
                checkpoints=self._files.unfinished(name, identity) if config.out else None,
                progress=report,
                defenders=config.known.defenders,
                remarks=remarks,
            )
            return Made(made, config.epsilon, remarks=tuple(remarks), figures={"defended": words})

        return self._files.kept(name, identity, make)

    def _identity(self, name: str, seed: int | None) -> str:
        config = self._config
        identity = f"{identity_of(name, config.loaded)} eps {config.epsilon} on {config.device}"
        return identity if seed is None else f"{identity} seed {seed}"

    def _label(self, name: str, seed: int | None) -> str:
        return name if seed is None or len(self._config.seeds) == 1 else f"{name}, seed {seed}"

    def _part(self, images: ImageSet) -> ImageSet:
        """Return the picked images of a whole training set."""
        return images.subset(self._picked) if len(self._picked) < len(images) else images

    def _mixed(self, made: ImageSet) -> ImageSet:
        """Return the picked images, the first of each class clean where a mix is asked for."""
        if self._config.mix is None:
            return made
        first = picked(self._whole, self._percent(self._config.mix[0]), self._held)
        stays = torch.isin(self._picked, first)
        return replace(
            made,
            images=torch.where(stays[:, None, None, None], self.clean.images, made.images),
            labels=torch.where(stays, self.clean.labels, made.labels),
        )

    def _percent(self, share: int) -> int:
        """Return how many images a share of the training set is, at least one."""
        return max(1, round(len(self._whole) * share / 100))


def picked(images: ImageSet, count: int, held: Tensor | None = None) -> Tensor:
    """Return the indices of `count` images, the first ones of each class in equal shares; all for 0.

    Args:
        images: The whole training set.
        count: How many.
        held: (n,) int64, the indices of those that are not to be picked.

    Raises:
        UsageError: there are not so many.
    """
    free = torch.ones(len(images), dtype=torch.bool)
    if held is not None:
        free[held] = False
    there = int(free.sum())
    if count > there:
        if there < len(images):
            raise UsageError(
                f"--validation leaves {there} images to train on, fewer than the {count} asked for"
            )
        raise UsageError(f"--train-images is {count}, but the training set has {there}")
    places = torch.full((len(images),), torch.inf, dtype=torch.float64)
    for label in range(len(images.classes)):
        own = (free & (images.labels == label)).nonzero().flatten()
        places[own] = torch.arange(len(own), dtype=torch.float64) / max(1, len(own))
    return places.argsort(stable=True)[: count or there].sort().values


def poison_names(paths: Sequence[Path], defenders: Iterable[str] = DEFENDERS) -> dict[Path, str]:
    """Name poisons in tables: by file, or by path where that is a control's, defender's or other's name."""
    shared = Counter(path.stem for path in dict.fromkeys(paths))
    taken = {"", *CONTROLS, *defenders, *(name for name, count in shared.items() if count > 1)}
    return {path: f"poison {path}" if path.stem in taken else path.stem for path in paths}


def identity_of(defender: str, plugins: Sequence[Plugin] = ()) -> str:
    """Return what decides a defender's work beside data and bound, in words."""
    for plugin in plugins:
        if defender in plugin.defenders:
            return f"{defender} {plugin.sha256}"
    stem = defender.removesuffix(CLASSWISE)
    if stem == NOISE:
        return defender
    method, _, net = stem.partition(ON)
    if method in crafted.METHOD_OF:
        return f"{defender} {crafted.identity(method, net)}"
    card = store.directory() / f"{stem}.json"
    return f"{defender} {store.sha256_of(card.read_bytes()) if card.exists() else ''} {find_recipe(stem)!r}"
