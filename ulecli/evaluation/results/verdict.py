"""What a set of runs means, in one sentence.

A protection is judged by the share of what an exploiter learns from clean images, above guessing, that the
protection takes away: (clean - protected) / (clean - chance), each exploiter against its own clean control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ulecli.errors import shown
from ulecli.evaluation.results.record import CLEAN, CONTROLS, NOISE, NOISE_MEAN, PROTECTED, SHARE, RunRecord

STRONG = 0.75
"""From this share on the images are called protected."""

PARTIAL = 0.25
"""From this share on they are called partly protected, below it not protected."""

LEARNED = 0.25
"""A clean control must come this share of the way from guessing to 100 %, else nothing follows from it."""

_LEVELS = ("protected", "partly protected", "not protected")
_UNJUDGED = "not judged, for want of a clean control that learns,"


@dataclass(frozen=True)
class Scores:
    """Accuracies of one exploiter in percent, means over its runs; None where there is none.

    Attributes:
        exploiter: Its name; with net and preset where there are several.
        chance: What guessing gives.
        clean: Trained on clean images.
        noise: Trained on images with random noise: with that of equal mean change where there is such.
        equal: Whether it is that of equal mean change.
        protected: Trained on protected images.
        peak: The same after its best epoch; None where recalls of some classes are judged.
    """

    exploiter: str
    chance: float
    clean: float | None
    noise: float | None
    protected: float
    peak: float | None
    equal: bool = False

    @property
    def judged(self) -> bool:
        """Whether the clean control is there and learned enough to compare with."""
        return self.clean is not None and self.clean - self.chance >= LEARNED * (100 - self.chance)

    def level(self, accuracy: float) -> int:
        """Return 0, 1 or 2 (protected, partly, not) for what an exploiter with a clean control reached."""
        assert self.clean is not None
        taken = (self.clean - accuracy) / (self.clean - self.chance)
        return 0 if taken >= STRONG else 1 if taken >= PARTIAL else 2


def sentence(records: Sequence[RunRecord], recalls_for: Sequence[str] = ()) -> str:
    """Say what runs on one data set mean; where there are several poisons, of the one that protects best.

    Args:
        records: Runs of one data set; of several, each gets a sentence.
        recalls_for: Classes that alone were protected: their recall is judged instead of the accuracy.

    Returns:
        One line of plain text.
    """
    if recalls_for:
        records = [record for record in records if record.recalls]
    sets = dict.fromkeys(record.arm.dataset for record in records)
    found = [_sentence([one for one in records if one.arm.dataset == name], recalls_for) for name in sets]
    if len(found) > 1:
        found = [f"{shown(name)}: {words}" for name, words in zip(sets, found, strict=True)]
    return " ".join(found) or "There are no results."


def _sentence(records: Sequence[RunRecord], recalls_for: Sequence[str]) -> str:
    poisons = dict.fromkeys(one.arm.poison for one in records if one.arm.poison not in CONTROLS)
    if not poisons:
        return "No protected images were tried, so this says nothing about a protection."
    scored = {poison: _scores(records, poison, recalls_for) for poison in poisons}
    most = max(len(scores) for scores in scored.values())
    whole = {poison: scores for poison, scores in scored.items() if len(scores) == most}
    best = min(whole, key=lambda poison: max(one.protected for one in whole[poison]))
    scores = whole[best]
    worst = max(scores, key=lambda one: one.protected)
    who = f"the {worst.exploiter} exploiter"
    if len(scores) > 1:
        who = f"the best of {len(scores)} exploiters, {worst.exploiter},"
    if len(poisons) > 1:
        who = f"of {len(poisons)} poisons {shown(best)} protects best: {who}"
    what = "protected images" if best.split(" ")[0] == PROTECTED else f"images with the poison {shown(best)}"
    whose = "the clean test images"
    if recalls_for:
        whose += f" of {_listed([shown(name) for name in recalls_for])}"
        only = "this class is" if len(recalls_for) == 1 else "these classes are"
        shares = {(one.audit or {}).get(SHARE) for one in records if one.arm.poison == best}
        part = "".join(f"{share * 100:g} % of " for share in shares if share)
        what = f"images of which only {part}{only} protected"
    words = f"{who} recognises {worst.protected:.1f} % of {whose} after training on {what}"
    return f"{words[0].upper()}{words[1:]} ({_controls(worst)}): {_verdict(scores)}{_caveats(worst)}."


def _scores(records: Sequence[RunRecord], poison: str, recalls_for: Sequence[str]) -> list[Scores]:
    """Return the scores of every exploiter that met the poison."""

    def score(record: RunRecord) -> float:
        if not recalls_for:
            return record.last
        return fmean(record.recalls[record.classes.index(name)] for name in recalls_for)

    several = [len({one.arm.arch for one in records}) > 1, len({one.arm.preset for one in records}) > 1]
    runs: dict[tuple[str, str, str], dict[str, list[RunRecord]]] = {}
    for one in records:
        setting = (one.arm.exploiter, one.arm.arch, one.arm.preset)
        runs.setdefault(setting, {}).setdefault(one.arm.poison, []).append(one)
    found = []
    for (exploiter, *rest), arms in runs.items():
        if poison not in arms:
            continue
        label = [exploiter, *(name for name, differs in zip(rest, several, strict=True) if differs)]
        means = {name: fmean(map(score, arms[name])) for name in (*CONTROLS, poison) if name in arms}
        found.append(
            Scores(
                exploiter="/".join(label),
                chance=arms[poison][0].chance,
                clean=means.get(CLEAN),
                noise=means.get(NOISE_MEAN, means.get(NOISE)),
                protected=means[poison],
                peak=None if recalls_for else fmean(one.peak for one in arms[poison]),
                equal=NOISE_MEAN in means,
            )
        )
    return found


def _controls(scores: Scores) -> str:
    found = ["no clean control" if scores.clean is None else f"clean {scores.clean:.1f} %"]
    if scores.noise is not None:
        found.append(f"random noise{' of equal mean change' if scores.equal else ''} {scores.noise:.1f} %")
    return ", ".join([*found, f"guessing {scores.chance:.1f} %"])


def _verdict(scores: Sequence[Scores]) -> str:
    if not any(one.judged for one in scores):
        if all(one.clean is None for one in scores):
            return "without a clean control nothing follows from that"
        return "nothing follows from that, since little was learned from clean images either"
    groups: dict[str, list[str]] = {level: [] for level in (*_LEVELS, _UNJUDGED)}
    for one in scores:
        groups[_LEVELS[one.level(one.protected)] if one.judged else _UNJUDGED].append(one.exploiter)
    found = {level: names for level, names in groups.items() if names}
    if len(found) == 1 and len(scores) > 1:
        (level,) = found
        return f"{level} against {'any' if level == _LEVELS[2] else 'all'} of them"
    return ", ".join(f"{level} against {_listed(names)}" for level, names in found.items())


def _caveats(worst: Scores) -> str:
    """Return what weakens the verdict on the strongest exploiter."""
    if not worst.judged:
        return ""
    level, caveats = worst.level(worst.protected), ""
    if level < 2 and worst.noise is not None and worst.noise <= worst.protected:
        strength = "equal mean change" if worst.equal else "the same strength"
        caveats += f"; random noise of {strength} does as much"
    if worst.peak is not None and worst.level(worst.peak) > level:
        caveats += f"; at its best epoch, which needs clean validation images, it was {worst.peak:.1f} %"
    return caveats


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
