"""What one exploiter reached on one poison and its controls, and what speaks against judging by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ulecli.evaluation.results.record import (
    CLEAN,
    CLEAN_SHARE,
    CONTROLS,
    LABELS_DIFFER,
    NOISE,
    NOISE_MEAN,
    RunRecord,
)
from ulecli.evaluation.results.summary import Summary

STRONG = 0.75
"""From this share on the images are called protected."""

PARTIAL = 0.25
"""From this share on they are called partly protected, below it not protected."""

LEARNED = 0.25
"""A clean control must come this share of the way from guessing to 100 %, else nothing follows from it."""

ADDED = 5.0
"""Points that as much clean data must add to the clean share of a mix alone, else nothing follows from it."""

FITTED = 0.5
"""Of what an exploiter learns of clean training images, above guessing, it must learn this share of protected
ones: theirs are as easy to fit or easier, so one that does not has failed, and nothing protected them."""

MISPLACED = 0.25
"""Share of images made from another one than the one in their place, from which on the order is wrong."""

MISLABELLED = 0.01
"""Share of labels that are not the data set's, above which the labels are wrong."""


@dataclass(frozen=True)
class Scores:
    """Accuracies of one exploiter in percent, means over its runs; None where there is none.

    Attributes:
        exploiter: Its name; with net and preset where there are several.
        chance: What guessing gives.
        clean: Trained on clean images; in a mix, on as many of them as there are with the protected.
        noise: Trained on images with random noise: with that of equal mean change where there is such.
        protected: Trained on protected images.
        peak: The same after its best epoch; None where recalls of some classes are judged.
        stopped: The same after the epoch that is best on validation images; None without any.
        equal: Whether the noise is that of equal mean change.
        share: Trained on the clean images of a mix alone; None where nothing is mixed.
        doubts: Why nothing follows for the poison from what it reached, one reason each.
    """

    exploiter: str
    chance: float
    clean: float | None
    noise: float | None
    protected: float
    peak: float | None
    stopped: float | None = None
    equal: bool = False
    share: float | None = None
    doubts: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether the clean control is there and learned enough to compare with."""
        return self.learned and (self.added is None or self.added >= ADDED)

    @property
    def learned(self) -> bool:
        """Whether clean images taught the exploiter anything."""
        return self.clean is not None and self.clean - self.chance >= LEARNED * (100 - self.chance)

    @property
    def added(self) -> float | None:
        """Points that clean images add to those of a mix; None where nothing is mixed."""
        return None if self.clean is None or self.share is None else self.clean - self.share

    def level(self, accuracy: float) -> int:
        """Return 0, 1 or 2 (protected, partly, not) for what an exploiter with a clean control reached."""
        assert self.clean is not None
        least = self.chance if self.share is None else self.share
        taken = (self.clean - accuracy) / (self.clean - least)
        return 0 if taken >= STRONG else 1 if taken >= PARTIAL else 2


def scores_of(records: Sequence[RunRecord], poison: str, recalls_for: Sequence[str]) -> list[Scores]:
    """Return the scores of every exploiter that met a poison.

    Args:
        records: Runs on one data set.
        poison: Name of the training images.
        recalls_for: Classes whose mean recall is taken instead of the accuracy.
    """
    several = [len({one.arm.arch for one in records}) > 1, len({one.arm.preset for one in records}) > 1]
    runs: dict[tuple[str, str, str], dict[str, list[RunRecord]]] = {}
    for one in records:
        setting = (one.arm.exploiter, one.arm.arch, one.arm.preset)
        runs.setdefault(setting, {}).setdefault(one.arm.poison, []).append(one)
    found = []
    for (exploiter, *rest), arms in runs.items():
        if poison in arms:
            label = [exploiter, *(name for name, differs in zip(rest, several, strict=True) if differs)]
            found.append(_scores("/".join(label), arms, poison, recalls_for))
    return found


def _scores(
    exploiter: str, arms: dict[str, list[RunRecord]], poison: str, recalls_for: Sequence[str]
) -> Scores:
    def score(record: RunRecord) -> float:
        if not recalls_for:
            return record.last
        return fmean(record.recalls[record.classes.index(name)] for name in recalls_for)

    means = {name: fmean(map(score, arms[name])) for name in (*CONTROLS, poison) if name in arms}
    stopped = Summary.of(arms[poison]).stopped
    found = Scores(
        exploiter=exploiter,
        chance=arms[poison][0].chance,
        clean=means.get(CLEAN),
        noise=means.get(NOISE_MEAN, means.get(NOISE)),
        protected=means[poison],
        peak=None if recalls_for else fmean(one.peak for one in arms[poison]),
        stopped=None if recalls_for or stopped is None else stopped.mean,
        equal=NOISE_MEAN in means,
        share=means.get(CLEAN_SHARE),
    )
    doubts = data_doubts(arms[poison][0].audit or {})
    if found.judged and found.level(found.protected) < 2:  # who recognises clean images has learned
        doubts += _training_doubts(arms, poison)
    return replace(found, doubts=tuple(doubts))


def data_doubts(audit: Mapping[str, Any]) -> list[str]:
    """Say, by its audit, if a poison is not in the order of the data set, or its labels are others."""
    found = []
    if (share := audit.get("misplaced", 0.0)) > MISPLACED:
        found.append(f"{share:.0%} of the compared images were made from others than those in their place")
    if (share := audit.get(LABELS_DIFFER, 0.0)) > MISLABELLED:
        found.append(f"{share:.0%} of its labels are not those of the data set")
    return found


def _training_doubts(arms: dict[str, list[RunRecord]], poison: str) -> list[str]:
    """Say if the exploiter did not even learn the images that it was trained on."""
    if CLEAN not in arms:
        return []
    chance = arms[poison][0].chance
    fits = {name: fmean(one.train for one in runs) for name, runs in arms.items()}
    expected, beside = fits[CLEAN] - chance, f"clean images give {fits[CLEAN]:.1f} %"
    if CLEAN_SHARE in arms:  # the protected images of a mix need not be learned at all
        part = arms[CLEAN_SHARE][0].n_train / arms[poison][0].n_train
        expected = (fits[CLEAN_SHARE] - chance) * part
        beside = f"the clean ones among them alone would give {chance + expected:.1f} %"
    if fits[poison] - chance >= FITTED * expected:
        return []
    return [
        f"it gets no more than {fits[poison]:.1f} % of its own training images right where {beside}, so it "
        "learned nothing that could be protected"
    ]
