"""What `ulecli evaluate --list` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ulecli.evaluation.exploiters.countermeasure import Family
    from ulecli.evaluation.plugins import Plugin


def catalogue(plugins: Sequence[Plugin] = ()) -> str:
    """Return exploiters, nets, defenders, data sets and presets, each with what is known of its source."""
    from ulecli.data.datasets import DATASETS
    from ulecli.evaluation.defenders import CLASSWISE, DEFENDERS, defender_names
    from ulecli.evaluation.exploiters.protocol import PRESETS
    from ulecli.evaluation.plugins import registries
    from ulecli.nets.backbones.judges import JUDGES
    from ulecli.nets.backbones.makers import MAKERS
    from ulecli.surrogates.recipe import ON

    known = registries(plugins)
    own = [(name, one.words) for name, one in known.defenders.items() if name not in DEFENDERS]
    parts = [
        part(
            "exploiters, to be joined with + as in gray+jpeg-10; test images stay clean but for gray",
            [_exploiter(name, family) for name, family in known.exploiters.items()],
        ),
        part(
            f"defenders, most also with {CLASSWISE}, and on another net as in uleo-grayaugs{ON}resnet18",
            [(name, DEFENDERS[name].words) for name in defender_names(classwise=False)],
        ),
        *([part("defenders of plugins", own)] if own else []),
        part("nets", [(name, net.words) for name, net in known.nets.items()]),
        part(
            "backbones of the exploiters probe, finetune and centroid, or a file",
            [
                *((name, f"judge: {one.words}") for name, one in JUDGES.items()),
                *((name, f"perturbations are made with it: {one.words}") for name, one in MAKERS.items()),
            ],
        ),
        part("data sets, or a FOLDER of one folder for each class", DATASETS.items()),
        part("presets", [(name, preset.purpose) for name, preset in PRESETS.items()]),
    ]
    return "\n\n".join(parts)


def _exploiter(name: str, family: Family) -> tuple[str, str]:
    if not family.strengths:
        return name, family.source
    low, high = family.allowed
    numbers = "|".join(str(strength) for strength in family.strengths)
    return f"{name}-{numbers}", f"{family.source} ({family.unit}, {low} to {high})"


def part(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """Return a title and below it names with what they are, aligned."""
    lines = list(entries)
    width = max(len(name) for name, _ in lines)
    return "\n".join([f"{title}:", *(f"  {name.ljust(width)}  {words}".rstrip() for name, words in lines)])
