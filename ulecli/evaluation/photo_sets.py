"""Photo mode: clean photos, what `ulecli protect` wrote of them, and noise that went the same way."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError, shown, unknown
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import Progress
from ulecli.evaluation.poisons.photo_noise import TOLERANCE, NoisyPhotos, fitted_noise, mean_change
from ulecli.evaluation.poisons.protected_photos import only_classes, read_photos, read_protected
from ulecli.surrogates.recipe import RECIPES
from ulecli.system.cores import usable_cores

GRID = RECIPES["photo"].grid
"""Side in cells of the grid that noise is drawn on: that of the surrogate for photos."""


class PhotoSets:
    """Training sets of photo mode: the picked photos, of which the chosen ones are changed.

    Attributes:
        clean: The picked photos without any change, as an exploiter gets them.
        chosen: (n,) int64, the places among them of the photos that are changed.
    """

    def __init__(
        self, config: EvaluateConfig, clean: ImageSet, picked: Tensor, progress: Progress | None = None
    ) -> None:
        """Prepare to make sets.

        Args:
            config: With a `protected` tree.
            clean: Every training photo after its upload.
            picked: (n,) int64, the places of those that are trained on.
            progress: Receives reports of photos that noise is put on.

        Raises:
            UsageError: The photos have no such class as `config.only` names.
        """
        self._config, self._picked, self._progress = config, picked, progress
        self.clean = clean.subset(picked)
        for name in config.only:
            if name not in clean.classes:
                raise unknown("class", name, clean.classes)
        changed = torch.tensor([not config.only or name in config.only for name in clean.classes])
        self.chosen = changed[self.clean.labels].nonzero().flatten()
        self._noisy = NoisyPhotos(
            train_tree(Path(config.dataset)), GRID, config.upload, config.side, reading_jobs(config)
        )

    def protected(self) -> ImageSet:
        """Return the photos as `ulecli protect` wrote them, after their upload."""
        config = self._config
        assert config.protected is not None
        tree, jobs = train_tree(Path(config.dataset)), reading_jobs(config)
        whole = read_protected(config.protected, tree, config.upload, config.side, jobs=jobs)
        protected = whole.subset(self._picked)
        return only_classes(protected, self.clean, config.only) if config.only else protected

    def noise(self) -> ImageSet:
        """Return the photos with random signs at the bound, stored and uploaded as the protected ones."""
        return self._with(self._noisy.read(self._picked[self.chosen], self._config.epsilon, self._report))

    def equal_noise(self, target: float, at_bound: float) -> tuple[ImageSet, float, float]:
        """Return the photos with noise whose mean change is that of the protected ones.

        Args:
            target: Mean absolute change of what `protected` returned, in levels, above 0.
            at_bound: That of what `noise` returned.

        Returns:
            The photos; the amplitude of the noise in levels, which may be above the bound; and by how much
            its mean change misses that of the protected photos, as a share of that.
        """
        clean = self.clean.images[self.chosen]
        share = len(self.chosen) / len(self.clean)  # the others, which nothing changes, are in both means
        target, known = target / share, (float(self._config.epsilon), at_bound / share)
        places = self._picked[self.chosen]
        images, amplitude = fitted_noise(self._noisy, places, clean, target, known, self._report)
        return self._with(images), amplitude, mean_change(images, clean) / target - 1

    def _with(self, changed: Tensor) -> ImageSet:
        """Return the clean photos with the chosen ones replaced."""
        images = self.clean.images.clone()
        images[self.chosen] = changed
        return replace(self.clean, images=images)

    def _report(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress("noise on photos", done, total)


def equal_noise_warnings(amplitude: float, miss: float, epsilon: int) -> tuple[str, ...]:
    """Say what a reader should know of noise of equal mean change, one line each; empty if nothing.

    Args:
        amplitude: Of the noise, in levels.
        miss: By how much its mean change misses the one it is fitted to, as a share of that.
        epsilon: Bound of the protection, in levels.
    """
    found = []
    if amplitude > epsilon:
        found.append(
            f"to change the photos as much on average as the protection does, random noise needs "
            f"{math.ceil(amplitude)} levels, more than epsilon {epsilon}"
        )
    if abs(miss) > TOLERANCE:
        found.append(
            f"its mean change is {abs(miss):.0%} {'above' if miss > 0 else 'below'} that of the protected "
            "photos, which no amplitude reaches: it is no fair control"
        )
    return tuple(found)


def reading_jobs(config: EvaluateConfig) -> int:
    """Return how many photos are in work at the same time."""
    return config.threads or usable_cores()


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
    jobs = reading_jobs(config)
    train = read_photos(folder / "train", config.upload, config.side, jobs=jobs)
    clean = read_photos(test, type(config.upload)(), config.side, jobs=jobs)
    return Dataset(folder.resolve().name, train, clean)
