"""What a set of runs means, in one sentence.

A protection is judged by the share of what an exploiter learns from clean images, above guessing, that the
protection takes away: (clean - protected) / (clean - chance), each exploiter against its own clean control.
Where protected images are added to clean ones, the clean share alone stands in place of guessing: a
protection is worth what it takes from what as much clean data would add. There is no verdict where the poison
is in another order or has other labels than the data set, or where an exploiter did not learn its training
images.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulecli.errors import shown
from ulecli.evaluation.results.record import CONTROLS, PROTECTED, SHARE, RunRecord
from ulecli.evaluation.results.scores import Scores, scores_of

_LEVELS = ("protected", "partly protected", "not protected")
_UNJUDGED = "not judged, for want of a clean control that learns,"
_WITHHELD = "no verdict"

_WHOLE = 0.99
"""Share of the images that must be changed for a poison to be one of all of them."""


def sentence(records: Sequence[RunRecord], recalls_for: Sequence[str] = ()) -> str:
    """Say what runs on one data set mean; where there are several poisons, of the one that protects best.

    Args:
        records: Runs of one data set; of several, each gets a sentence.
        recalls_for: Classes that alone were protected: their recall is judged instead of the accuracy.

    Returns:
        One line of plain text.
    """
    found = _by_dataset(records, recalls_for)
    lines = {name: _sentence(runs, recalls_for) for name, runs in found.items()}
    if len(lines) > 1:
        lines = {name: f"{shown(name)}: {words}" for name, words in lines.items()}
    return " ".join(lines.values()) or "There are no results."


def withheld(records: Sequence[RunRecord], recalls_for: Sequence[str] = ()) -> list[str]:
    """Say on which poisons there is no verdict against whom, and why; one line for each poison.

    Args:
        records: As for `sentence`.
        recalls_for: Likewise.
    """
    lines = []
    for runs in _by_dataset(records, recalls_for).values():
        for poison, scores in _scored(runs, recalls_for).items():
            if any(map(_is_withheld, scores)):
                lines.append(f"{shown(poison)}: {_reasons(scores)}")
    return lines


def _by_dataset(records: Sequence[RunRecord], recalls_for: Sequence[str]) -> dict[str, list[RunRecord]]:
    """Return the runs of each data set; where recalls are judged, those that have them."""
    found: dict[str, list[RunRecord]] = {}
    for one in records:
        if one.recalls or not recalls_for:
            found.setdefault(one.arm.dataset, []).append(one)
    return found


def _scored(records: Sequence[RunRecord], recalls_for: Sequence[str]) -> dict[str, list[Scores]]:
    poisons = dict.fromkeys(one.arm.poison for one in records if one.arm.poison not in CONTROLS)
    return {poison: scores_of(records, poison, recalls_for) for poison in poisons}


def _is_withheld(scores: Scores) -> bool:
    """Return whether doubts keep a verdict from an exploiter that there would be one on."""
    return bool(scores.doubts) and scores.judged


def _reasons(scores: Sequence[Scores]) -> str:
    """List why there is no verdict, each reason once, with the exploiters it holds for if not for all."""
    found: dict[str, list[str]] = {}
    for one in filter(_is_withheld, scores):
        for doubt in one.doubts:
            found.setdefault(doubt, []).append(one.exploiter)
    return "; ".join(
        doubt if len(names) == len(scores) else f"{doubt} ({', '.join(names)})"
        for doubt, names in found.items()
    )


def _sentence(records: Sequence[RunRecord], recalls_for: Sequence[str]) -> str:
    scored = _scored(records, recalls_for)
    if not scored:
        return "No protected images were tried, so this says nothing about a protection."
    most = max(len(scores) for scores in scored.values())
    whole = {poison: scores for poison, scores in scored.items() if len(scores) == most}
    sound = {poison: scores for poison, scores in whole.items() if not any(map(_is_withheld, scores))}
    choice = sound or whole
    best = min(choice, key=lambda poison: max(one.protected for one in choice[poison]))
    scores = choice[best]
    worst = max(scores, key=lambda one: one.protected)
    who = f"the {worst.exploiter} exploiter"
    if len(scores) > 1:
        who = f"the best of {len(scores)} exploiters, {worst.exploiter},"
    if len(scored) > 1:
        who = (
            f"of {len(scored)} poisons {shown(best)} protects best: {who}"
            if sound
            else (f"of {len(scored)} poisons none can be judged; with {shown(best)} {who}")
        )
    own = [one for one in records if one.arm.poison == best]
    whose = "the clean test images"
    if recalls_for:
        whose += f" of {_listed([shown(name) for name in recalls_for])}"
    words = (
        f"{who} recognises {worst.protected:.1f} % of {whose} after training on "
        f"{_training_images(own[0], worst, recalls_for)}"
    )
    others = "".join(
        f" No verdict on {shown(poison)}: {_reasons(scored[poison])}."
        for poison in scored
        if poison != best and any(map(_is_withheld, scored[poison]))
    )
    part = _part_caveat(own[0], worst, recalls_for)
    return (
        f"{words[0].upper()}{words[1:]} ({_controls(worst)}): {_verdict(scores)}{_caveats(worst)}{part}."
        f"{others}"
    )


def _training_images(record: RunRecord, scores: Scores, recalls_for: Sequence[str]) -> str:
    """Say what a run was trained on."""
    poison = record.arm.poison
    if recalls_for:
        only = "this class is" if len(recalls_for) == 1 else "these classes are"
        share = (record.audit or {}).get(SHARE)
        part = f"{share * 100:g} % of " if share else ""
        what = f"images of which only {part}{only} protected"
    elif poison.split(" ")[0] == PROTECTED:
        what = "protected images"
    else:
        what = f"images with the poison {shown(poison)}"
    return what if scores.share is None else f"clean images and {what}"


def _controls(scores: Scores) -> str:
    found = ["no clean control"]
    if scores.clean is not None:
        found = [f"{'clean' if scores.share is None else 'as much clean data'} {scores.clean:.1f} %"]
    if scores.share is not None:
        found.append(f"the clean share alone {scores.share:.1f} %")
    if scores.noise is not None:
        found.append(f"random noise{' of equal mean change' if scores.equal else ''} {scores.noise:.1f} %")
    return ", ".join([*found, f"guessing {scores.chance:.1f} %"])


def _verdict(scores: Sequence[Scores]) -> str:
    if not any(one.judged for one in scores):
        if all(one.clean is None for one in scores):
            return "without a clean control nothing follows from that"
        added = [one.added for one in scores if one.learned and one.added is not None]
        if added:
            return (
                "nothing follows from that, since as much clean data adds no more than "
                f"{max(added):.1f} points either"
            )
        return "nothing follows from that, since little was learned from clean images either"
    groups: dict[str, list[str]] = {level: [] for level in (*_LEVELS, _UNJUDGED, _WITHHELD)}
    for one in scores:
        if not one.judged:
            level = _UNJUDGED
        else:
            level = _WITHHELD if one.doubts else _LEVELS[one.level(one.protected)]
        groups[level].append(one.exploiter)
    found = {level: names for level, names in groups.items() if names}
    reasons = f", since {_reasons(scores)}" if _WITHHELD in found else ""
    if len(found) == 1 and len(scores) > 1:
        (level,) = found
        whom = "any" if level in (_LEVELS[2], _WITHHELD) else "all"
        return f"{level} against {whom} of them{reasons}"
    return ", ".join(f"{level} against {_listed(names)}" for level, names in found.items()) + reasons


def _caveats(worst: Scores) -> str:
    """Return what weakens the verdict on the strongest exploiter."""
    if not worst.judged or worst.doubts:
        return ""
    level, caveats = worst.level(worst.protected), ""
    if level < 2 and worst.noise is not None and worst.noise <= worst.protected:
        strength = "equal mean change" if worst.equal else "the same strength"
        caveats += f"; random noise of {strength} does as much"
    if worst.stopped is not None and worst.level(worst.stopped) > level:
        caveats += f"; stopped early, as its clean validation images say, it was {worst.stopped:.1f} %"
    elif worst.peak is not None and worst.level(worst.peak) > level:
        caveats += f"; at its best epoch, which needs clean validation images, it was {worst.peak:.1f} %"
    return caveats


def _part_caveat(record: RunRecord, worst: Scores, recalls_for: Sequence[str]) -> str:
    """Say if much of what was trained on is clean, which no protection of the rest can help."""
    changed = (record.audit or {}).get("changed_share", 1.0)
    if recalls_for or worst.share is not None or not worst.judged or changed >= _WHOLE:
        return ""
    return f"; {1 - changed:.0%} of the images it was trained on are clean"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
