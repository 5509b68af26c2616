"""What runs say together in which every class was changed alone in turn, the others clean.

A run is worth the recall of the one class that was changed, beside the recall of that class after training on
clean images by the same exploiter, net and seed, and what became of the other classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

from ulecli.errors import shown
from ulecli.evaluation.results.record import BANDS, CLEAN, CONTROLS, PROTECTED, SHARE, RunRecord
from ulecli.evaluation.results.scores import LEARNED
from ulecli.evaluation.results.summary import Spread

SCORE = "ssimulacra2"
"""Where the audit of a record holds the mean SSIMULACRA2 of the photos that were changed."""

CHANCE = 2.0
"""Standard errors by which two recalls must differ, before the difference is taken for more than chance."""

TREATMENTS = (*CONTROLS, PROTECTED)
"""What is done to the photos of a class, in the order in which it stands in tables."""


class Setting(NamedTuple):
    """Who trained on what: runs of one setting differ by what was changed and by the seed alone."""

    dataset: str
    exploiter: str
    arch: str
    preset: str


@dataclass(frozen=True)
class Turn:
    """One run in which one class was changed. Recalls are percent, 0 to 100.

    Attributes:
        setting: Who trained on what.
        treatment: What was done to the photos of the class: one of `TREATMENTS`.
        identity: The class.
        seed: Of the exploiter.
        recall: Share of the class's clean test photos that is recognised.
        clean: The same after training on clean photos; None where that was not done.
        others: Mean change of the recalls of the other classes, in points; None without a clean control.
        score: Mean SSIMULACRA2 of the photos that were changed; None where it was not measured.
        tests: Test photos of all classes.
        chance: What guessing gives.
        share: Of the class's training photos, those that were changed; above 0, at most 1.
    """

    setting: Setting
    treatment: str
    identity: str
    seed: int
    recall: float
    clean: float | None
    others: float | None
    score: float | None
    tests: int
    chance: float
    share: float


def treatment_of(name: str, classes: Sequence[str]) -> tuple[str, str]:
    """Return what was done and to which class alone, from the name of training images; "" for no class."""
    treatment, _, who = name.partition(" ")
    return (treatment, who) if treatment in TREATMENTS and who in classes else (name, "")


def by_treatment(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return records that are called by what was done, whichever class it was done to."""
    return [
        replace(one, arm=replace(one.arm, poison=treatment_of(one.arm.poison, one.classes)[0]))
        for one in records
    ]


def setting_of(record: RunRecord) -> Setting:
    """Return the setting of a run."""
    return Setting(record.arm.dataset, record.arm.exploiter, record.arm.arch, record.arm.preset)


def turns(records: Sequence[RunRecord]) -> list[Turn]:
    """Return the runs in which one class was changed; such without recalls of all classes are left out."""
    known = [one for one in records if one.recalls]
    clean = {
        (setting_of(one), one.arm.seed): dict(zip(one.classes, one.recalls, strict=True))
        for one in known
        if one.arm.poison == CLEAN
    }
    found = []
    for one in known:
        treatment, who = treatment_of(one.arm.poison, one.classes)
        if not who:
            continue
        recalls = dict(zip(one.classes, one.recalls, strict=True))
        before = clean.get((setting_of(one), one.arm.seed))
        changes = [recalls[name] - before[name] for name in recalls if name != who] if before else []
        found.append(
            Turn(
                setting=setting_of(one),
                treatment=treatment,
                identity=who,
                seed=one.arm.seed,
                recall=recalls[who],
                clean=before[who] if before else None,
                others=fmean(changes) if changes else None,
                score=(one.audit or {}).get(SCORE),
                tests=one.n_test,
                chance=one.chance,
                share=(one.audit or {}).get(SHARE, 1.0),
            )
        )
    return found


@dataclass(frozen=True)
class Row:
    """The turns of one setting and treatment together. Recalls are percent.

    Attributes:
        setting: Who trained on what.
        treatment: What was done.
        recalls: Of each class in its turn, over seeds, in the order of turns.
        cleans: The same after training on clean photos; empty without a clean control.
        recall: Mean over classes, over seeds.
        clean: The same of clean photos, of the seeds for which there is one; None if for none.
        others: Mean change of the others, in points, over seeds; None likewise.
        score: Mean SSIMULACRA2; None where it was not measured.
        tests: Test photos that the mean recall is measured on, those of other seeds counted again.
        chance: What guessing gives.
        share: Of each class's training photos, those that were changed.
    """

    setting: Setting
    treatment: str
    recalls: dict[str, Spread]
    cleans: dict[str, Spread]
    recall: Spread
    clean: Spread | None
    others: Spread | None
    score: float | None
    tests: int
    chance: float
    share: float

    @property
    def worst(self) -> str:
        """The class that is recognised best though it was changed."""
        return max(self.recalls, key=lambda name: self.recalls[name].mean)

    @property
    def kept(self) -> float | None:
        """How much of its clean recall is left, in percent; None without a clean control that learned."""
        if self.clean is None or not self.clean.mean:
            return None
        return 100 * self.recall.mean / self.clean.mean


def rows(found: Sequence[Turn]) -> list[Row]:
    """Put turns together, setting by setting, the controls first."""
    settings = dict.fromkeys(one.setting for one in found)
    return [
        _row([one for one in found if (one.setting, one.treatment) == (setting, treatment)])
        for setting in settings
        for treatment in TREATMENTS
        if any((one.setting, one.treatment) == (setting, treatment) for one in found)
    ]


def _row(own: Sequence[Turn]) -> Row:
    scores = [one.score for one in own if one.score is not None]
    return Row(
        setting=own[0].setting,
        treatment=own[0].treatment,
        recalls=_spreads((one.identity, one.recall) for one in own),
        cleans=_spreads((one.identity, one.clean) for one in own),
        recall=_over_seeds((one.seed, one.recall) for one in own) or Spread.of([]),
        clean=_over_seeds((one.seed, one.clean) for one in own),
        others=_over_seeds((one.seed, one.others) for one in own),
        score=fmean(scores) if scores else None,
        tests=own[0].tests * len({one.seed for one in own}),
        chance=own[0].chance,
        share=own[0].share,
    )


def _grouped(figures: Iterable[tuple[Any, float | None]]) -> dict[Any, list[float]]:
    found: dict[Any, list[float]] = {}
    for key, figure in figures:
        if figure is not None:
            found.setdefault(key, []).append(figure)
    return found


def _spreads(figures: Iterable[tuple[str, float | None]]) -> dict[str, Spread]:
    return {key: Spread.of(values) for key, values in _grouped(figures).items()}


def _over_seeds(figures: Iterable[tuple[int, float | None]]) -> Spread | None:
    """Return the spread over seeds of the mean of each; None if there is nothing."""
    means = [fmean(values) for values in _grouped(figures).values()]
    return Spread.of(means) if means else None


def verdicts(found: Sequence[Row]) -> list[str]:
    """Say of every exploiter what is learned of the one that is protected, and if band noise does as much."""
    protected = [row for row in found if row.treatment == PROTECTED]
    several = {name: len({getattr(row.setting, name) for row in protected}) > 1 for name in Setting._fields}
    lines = []
    for row in protected:
        bands = [one for one in found if one.setting == row.setting and one.treatment in BANDS]
        extra = [getattr(row.setting, name) for name in ("dataset", "arch", "preset") if several[name]]
        who = shown("/".join([row.setting.exploiter, *extra]))
        beside = [f"worst {shown(row.worst)} {row.recalls[row.worst].mean:.1f} %"]
        if row.clean is not None:
            beside.insert(0, f"clean {row.clean.mean:.1f} %")
        if row.others is not None:
            beside.append(f"the others change by {row.others.mean:+.1f} points")
        lines.append(
            f"Of the one class {_share(row)}, each of {len(row.recalls)} in turn, the {who} exploiter "
            f"recognises {row.recall.mean:.1f} % of the clean test photos on average ({', '.join(beside)}): "
            f"{_against(row, bands)}."
        )
    return lines or ["No protected images were tried, so this says nothing about a protection."]


def is_below(row: Row, bands: Sequence[Row]) -> bool | None:
    """Return whether a protected row is below every band-noise row; None where there is none."""
    return all(row.recall.mean < one.recall.mean for one in bands) if bands else None


def is_chance(row: Row, bands: Sequence[Row]) -> bool:
    """Return whether the distance of a protected row from a band-noise row may be chance, by test photos."""
    return any(abs(row.recall.mean - one.recall.mean) <= CHANCE * _error(row, one) for one in bands)


def _error(row: Row, other: Row) -> float:
    """Return the standard error of the difference of two mean recalls, in points."""
    return math.sqrt(
        sum(one.recall.mean * (100 - one.recall.mean) / max(1, one.tests) for one in (row, other))
    )


def _share(row: Row) -> str:
    return "that is protected" if row.share == 1 else f"of whose photos {row.share * 100:g} % are protected"


def _against(row: Row, bands: Sequence[Row]) -> str:
    if row.clean and row.clean.mean - row.chance < LEARNED * (100 - row.chance):
        return "nothing follows from that, since little was learned from clean photos either"
    below = is_below(row, bands)
    if below is None:
        return "not compared with band noise that is as plain to see"
    found = ", ".join(f"{one.treatment} {one.recall.mean:.1f} %" for one in bands)
    doubt = f", by no more than {row.tests} test photos may give by chance" if is_chance(row, bands) else ""
    return f"{'below' if below else 'NOT below'} band noise that is as plain to see ({found}){doubt}"
