"""Which training sets photo mode has: who is protected when, beside which controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from ulecli.data.images import ImageSet
from ulecli.errors import install_extra
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.photo_sets import PhotoSets, equal_noise_warnings
from ulecli.evaluation.poisons.band_noise import BANDS, Band, Fitted
from ulecli.evaluation.poisons.protected_photos import places_of
from ulecli.evaluation.results.record import CLEAN, NOISE, NOISE_MEAN, PROTECTED, SHARE
from ulecli.evaluation.set_files import Made, SetFiles, TrainingSet
from ulecli.imaging import visibility

_FAR = 2.0
"""Points of SSIMULACRA2 that band noise may miss the protected photo's by before it is warned of."""


@dataclass(frozen=True)
class Turn:
    """Classes that are changed together while all others stay clean.

    Attributes:
        classes: Their names; empty for all.
        alone: Whether it is one class of which each has its turn.
        seed: The seed of the exploiters that it is for; None for all.
    """

    classes: tuple[str, ...]
    alone: bool = False
    seed: int | None = None

    def named(self, treatment: str) -> str:
        """Return the name of the set in which the classes are treated so."""
        if treatment == PROTECTED or self.alone:
            return f"{treatment} {'+'.join(self.classes)}".strip()
        return treatment

    def places(self, photos: PhotoSets, share: float) -> Tensor:
        """Return the places of the photos that are changed."""
        if not self.classes:
            return torch.arange(len(photos.clean))
        return places_of(photos.clean, self.classes, share=share, seed=self.seed)


def turns(config: EvaluateConfig, classes: Sequence[str]) -> Iterator[Turn]:
    """Yield who is protected, turn by turn; with a share, once for each seed, which decides the photos."""
    for seed in dict.fromkeys(config.seeds) if config.share < 1 else (None,):
        if config.each:
            yield from (Turn((name,), alone=True, seed=seed) for name in classes)
        else:
            yield Turn(config.named, seed=seed)


def treatments(config: EvaluateConfig) -> tuple[str, ...]:
    """Return what is done in each turn: the controls but for the clean one, then the protection."""
    if not config.controls:
        return (PROTECTED,)
    if not config.each:
        return (NOISE, NOISE_MEAN, PROTECTED)
    bands = (band.name for band in BANDS) if visibility.installed() else ()
    return (NOISE_MEAN, *bands, PROTECTED)


def photo_set_names(config: EvaluateConfig, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all sets, the clean one first."""
    clean = (CLEAN,) if config.controls else ()
    treated = (turn.named(one) for turn in turns(config, classes) for one in treatments(config))
    return tuple(dict.fromkeys((*clean, *treated)))


def photo_set_sizes(config: EvaluateConfig, clean: ImageSet) -> float:
    """Return what the sets write, as shares of all images: the clean one all, others what is changed."""
    wanted = [clean.classes.index(name) for name in config.named if name in clean.classes]
    changed = float(torch.isin(clean.labels, torch.tensor(wanted)).float().mean()) if config.named else 1.0
    seeds = len(set(config.seeds)) if config.share < 1 else 1
    return 1 + changed * config.share * seeds * len(treatments(config))


def missing_controls(config: EvaluateConfig) -> Iterator[str]:
    """Yield a line if controls are left out for want of a package."""
    if config.each and config.controls and not visibility.installed():
        yield (
            "no control of noise that is as plain to see as the protection: "
            f"{install_extra('measure')} brings what it takes"
        )


class PhotoPlan:
    """Makes the training sets of photo mode, or takes them from their files."""

    def __init__(self, config: EvaluateConfig, photos: PhotoSets, files: SetFiles) -> None:
        self._config, self._photos, self._files = config, photos, files

    def sets(self) -> Iterator[TrainingSet]:
        """Yield the clean set, then turn by turn the controls and the protected photos."""
        if self._config.controls:
            yield self._files.unchanged()
        for turn in turns(self._config, self._photos.clean.classes):
            for made in self._turn(turn):
                yield replace(made, seed=turn.seed)

    def _kept(
        self, turn: Turn, treatment: str, identity: str, make: Callable[[], Made], places: Tensor
    ) -> TrainingSet:
        """Return the set of a turn from its file, or make it; what it holds is recorded with the share."""

        def shared() -> Made:
            made, share = make(), self._config.share
            return replace(made, figures={**made.figures, SHARE: share}) if share < 1 else made

        return self._files.kept(turn.named(treatment), identity, shared, places=places)

    def _turn(self, turn: Turn) -> Iterator[TrainingSet]:
        config, photos = self._config, self._photos
        places = turn.places(photos, config.share)
        read = photos.protected(places)
        target = photos.mean_change(read, places)
        wanted = treatments(config)
        noise = self._noise(turn, places) if NOISE in wanted else None
        if noise:
            yield noise
        if NOISE_MEAN in wanted and target:
            yield self._equal_noise(turn, places, read.digest, target, noise)
        for band in BANDS:
            if band.name in wanted:
                yield self._band(turn, places, band, read.digest)
        # Protected photos may leave the bound, by JPEG, and some stay as they are on purpose.
        yield self._kept(
            turn,
            PROTECTED,
            f"photos {read.digest}, visibility {visibility.installed() and config.each}",
            lambda: Made(read, config.epsilon, bounded=False, figures=self._visibility(places)),
            places,
        )

    def _way(self, turn: Turn) -> str:
        """Return what decides the noise on photos beside its amplitude, in words."""
        config = self._config
        share = f", {config.share} of them by seed {turn.seed}" if turn.seed is not None else ""
        return f"eps {config.epsilon}, upload {config.upload}, size {config.side}, only {turn.classes}{share}"

    def _noise(self, turn: Turn, places: Tensor) -> TrainingSet:
        epsilon = self._config.epsilon
        kind = f"random signs at ±{epsilon} levels, stored as the photos are"
        name = turn.named(NOISE)
        return self._kept(
            turn,
            NOISE,
            f"noise on photos, {self._way(turn)}",
            lambda: Made(self._photos.noise(places, name), epsilon, kind, bounded=False),
            places,
        )

    def _equal_noise(
        self, turn: Turn, places: Tensor, digest: str, target: float, noise: TrainingSet | None
    ) -> TrainingSet:
        photos, name = self._photos, turn.named(NOISE_MEAN)

        def make() -> Made:
            if noise:
                at_bound = _mean_change(noise) * len(photos.clean) / len(places)
            else:
                at_bound = photos.mean_change(photos.noise(places, f"{name}, first try,"), places)
            images, amplitude, miss = photos.equal_noise(places, target, at_bound, name)
            levels = "" if turn.alone else f" at ±{amplitude:.2f} levels"
            return Made(
                images,
                max(1, math.ceil(amplitude)),
                f"random signs{levels}, stored as the photos are: as much change on average as the "
                "protection makes",
                equal_noise_warnings(amplitude, miss, self._config.epsilon),
                bounded=False,
                figures={"amplitude": round(amplitude, 3)},
            )

        identity = f"noise on photos, {self._way(turn)}, as much as {digest}"
        return self._kept(turn, NOISE_MEAN, identity, make, places)

    def _band(self, turn: Turn, places: Tensor, band: Band, digest: str) -> TrainingSet:
        name = turn.named(band.name)

        def make() -> Made:
            images, found = self._photos.band_noise(places, band, name)
            return Made(
                images,
                max(1, math.ceil(max(one.amplitude for one in found))),
                f"noise of {band.low} to {band.high} cycles per shorter side, another draw for each photo, "
                "less where it is smooth, stored as the photos are: by SSIMULACRA2 as plain to see in each "
                "photo as its protection",
                band_warnings(found),
                bounded=False,
                figures={
                    "amplitude": round(fmean(one.amplitude for one in found), 3),
                    "ssimulacra2": round(fmean(one.noise for one in found), 2),
                    "ssimulacra2_protected": round(fmean(one.protected for one in found), 2),
                },
            )

        identity = f"noise of {band}, {self._way(turn)}, seen as plainly as {digest}"
        return self._kept(turn, band.name, identity, make, places)

    def _visibility(self, places: Tensor) -> dict[str, float]:
        if not (self._config.each and visibility.installed()):
            return {}
        return {"ssimulacra2": round(fmean(self._photos.scores(places).values()), 2)}


def band_warnings(found: Sequence[Fitted]) -> tuple[str, ...]:
    """Say in how many photos band noise is not seen as plainly as the protection; empty if in none."""
    plainer = sum(one.noise < one.protected - _FAR for one in found)
    fainter = sum(one.noise > one.protected + _FAR for one in found)
    return tuple(
        f"in {count} of {len(found)} photos this noise is {how} to see than the protection, whatever its "
        "amplitude: it is no fair control there"
        for count, how in ((plainer, "plainer"), (fainter, "harder"))
        if count
    )


def _mean_change(made: TrainingSet) -> float:
    """Return the mean absolute change of all images of a set, in levels, as its audit found it."""
    return fmean(made.audit["mean_amplitude"]) if made.audit else 0.0
