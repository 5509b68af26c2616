"""Photo mode: clean photos, what `ulecli protect` wrote of them, and noise that went the same way."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ulecli.data.datasets import Dataset
from ulecli.data.images import ImageSet
from ulecli.errors import NoSuchPath, UleError, shown, unknown
from ulecli.evaluation.config import EACH, EvaluateConfig
from ulecli.evaluation.order import Progress
from ulecli.evaluation.poisons.band_noise import Band, BandNoise, Fitted, difference
from ulecli.evaluation.poisons.photo_noise import TOLERANCE, NoisyPhotos, fitted_noise, mean_change
from ulecli.evaluation.poisons.protected_photos import aligned, read_photos, read_protected, with_photos
from ulecli.evaluation.results.record import NOISE, NOISE_MEAN
from ulecli.surrogates.feature_recipe import FEATURE_RECIPES
from ulecli.system.cores import usable_cores

GRID = FEATURE_RECIPES["photo"].grid
"""Side in cells of the grid that noise is drawn on: that of the surrogate for photos."""

FEWEST = 5
"""Photos, to train and test on together, of a class that is protected alone."""


class PhotoSets:
    """Makes the training sets of photo mode: the picked photos, of which those at some places are changed.

    Attributes:
        clean: The picked photos without any change, as an exploiter gets them.
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
        """
        self._config, self._picked, self._progress = config, picked, progress
        self.clean = clean.subset(picked)
        self._tree = train_tree(Path(config.dataset))
        self._noisy = NoisyPhotos(self._tree, config.upload, config.side, reading_jobs(config), GRID)
        self._scores: dict[Path, float] = {}

    def protected(self, places: Tensor) -> ImageSet:
        """Return the set with photos as `ulecli protect` wrote them, after their upload."""
        return with_photos(self.clean, self._protected, places)

    @cached_property
    def _protected(self) -> ImageSet:
        config, jobs = self._config, reading_jobs(self._config)
        assert config.protected is not None
        whole = read_protected(config.protected, self._tree, config.upload, config.side, jobs=jobs)
        return whole.subset(self._picked)

    def noise(self, places: Tensor, what: str = NOISE) -> ImageSet:
        """Return the set with random signs at the bound, stored and uploaded as the protected photos."""
        epsilon, progress = self._config.epsilon, self._reporter(what)
        return self._with(places, self._noisy.read(self._picked[places], epsilon, progress))

    def equal_noise(
        self, places: Tensor, target: float, at_bound: float, what: str = NOISE_MEAN
    ) -> tuple[ImageSet, float, float]:
        """Return the set with noise whose mean change is that of the protected photos.

        Args:
            places: (n,) int64, of the photos that are changed.
            target: Mean absolute change of these photos by their protection, in levels, above 0.
            at_bound: That by what `noise` returned.
            what: For reports.

        Returns:
            The photos; the amplitude of the noise in levels, which may be above the bound; and by how much
            its mean change misses that of the protected photos, as a share of that.
        """
        clean, known = self.clean.images[places], (float(self._config.epsilon), at_bound)
        images, amplitude = fitted_noise(
            self._noisy, self._picked[places], clean, target, known, self._reporter(what)
        )
        return self._with(places, images), amplitude, mean_change(images, clean) / target - 1

    def band_noise(self, places: Tensor, band: Band, what: str) -> tuple[ImageSet, tuple[Fitted, ...]]:
        """Return the set with noise of a band that the eye sees as plainly as the protection.

        Args:
            places: (n,) int64, of the photos that are changed.
            band: Frequencies of the noise.
            what: For reports.

        Returns:
            The photos, and what amplitudes and scores were found.
        """
        noise = BandNoise(self._noisy, band)
        images, found = noise.read(self._picked[places], self.scores(places), self._reporter(what))
        return self._with(places, images), found

    def scores(self, places: Tensor) -> dict[Path, float]:
        """Return the SSIMULACRA2 of protected photos against their originals, by the path of the original.

        Raises:
            UleError: A pair can't be compared.
            MissingExtra: SSIMULACRA2 can't be measured.
        """
        paths = [self._pairs[place] for place in self._picked[places].tolist()]
        todo = [pair for pair in paths if pair[1] not in self._scores]
        with ThreadPoolExecutor(reading_jobs(self._config)) as pool:
            for (_, source), score in zip(todo, pool.map(lambda pair: difference(*pair), todo), strict=True):
                self._scores[source] = score
        return {source: self._scores[source] for _, source in paths}

    @cached_property
    def _pairs(self) -> tuple[tuple[Path, Path], ...]:
        """Protected and clean path of every training photo, in order."""
        assert self._config.protected is not None
        return aligned(self._config.protected, self._tree)

    def mean_change(self, images: ImageSet, places: Tensor) -> float:
        """Return the mean absolute change of the photos at some places, in levels."""
        return mean_change(images.images[places], self.clean.images[places])

    def _with(self, places: Tensor, changed: Tensor) -> ImageSet:
        """Return the clean photos with those at some places replaced."""
        images = self.clean.images.clone()
        images[places] = changed
        return replace(self.clean, images=images)

    def _reporter(self, what: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(f"{what} on photos", done, total)

        return report


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
            f"{shown(folder)} needs two folders, train and test, each with a folder of photos for each "
            "class: an exploiter is judged on photos that it was not given"
        )
    jobs = reading_jobs(config)
    train = read_photos(folder / "train", config.upload, config.side, jobs=jobs)
    clean = read_photos(test, type(config.upload)(), config.side, jobs=jobs)
    data = Dataset(folder.resolve().name, train, clean)
    check_identities(config, data)
    return data


def check_identities(config: EvaluateConfig, data: Dataset) -> None:
    """Refuse what is too little to protect some classes alone and judge by their recall.

    Raises:
        UleError: A class that is to be protected has too few photos, or bears the word for each of them.
    """
    if config.each and EACH in data.train.classes:
        raise UleError(f"--only {EACH} protects every class in turn, and one is called so: rename its folder")
    for name in data.train.classes if config.each else config.named:
        if name not in data.train.classes:
            raise unknown("class", name, data.train.classes)
        label = data.train.classes.index(name)
        count = sum(int((part.labels == label).sum()) for part in (data.train, data.test))
        if count < FEWEST:
            raise UleError(
                f"{shown(name)} has {count} photo{'s' if count > 1 else ''} to train and test on; what is "
                f"learned of one class alone needs {FEWEST} at least: add some, or remove its folders"
            )
