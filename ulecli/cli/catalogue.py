"""What `ulecli evaluate --list` tells."""

from __future__ import annotations

from collections.abc import Iterable


def catalogue() -> str:
    """Return exploiters, nets, defenders, data sets and presets, each with what is known of its source."""
    from ulecli.data.datasets import DATASETS
    from ulecli.evaluation.defenders import CLASSWISE, NOISE, defender_names
    from ulecli.evaluation.exploiters.protocol import PRESETS
    from ulecli.evaluation.exploiters.registry import FAMILIES
    from ulecli.nets.registry import NETS
    from ulecli.surrogates.recipe import RECIPES

    exploiters = []
    for name, family in FAMILIES.items():
        numbers = "|".join(str(strength) for strength in family.strengths)
        low, high = family.allowed
        what = f" ({family.unit}, {low} to {high})" if numbers else ""
        exploiters.append((f"{name}-{numbers}" if numbers else name, f"{family.source}{what}"))
    defenders = [(NOISE, "random signs at the bound, tied across RGB: a control")]
    names = defender_names(classwise=False)
    defenders += [(name, RECIPES[name].purpose) for name in names if name != NOISE]
    parts = [
        _part(
            "exploiters, to be joined with + as in gray+jpeg-10; test images stay clean but for gray",
            exploiters,
        ),
        _part(f"defenders, each also with {CLASSWISE}", defenders),
        _part("nets", [(name, net.words) for name, net in NETS.items()]),
        _part("data sets, or a FOLDER of one folder for each class", DATASETS.items()),
        _part("presets", [(name, preset.purpose) for name, preset in PRESETS.items()]),
    ]
    return "\n\n".join(parts)


def _part(title: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = list(entries)
    width = max(len(name) for name, _ in lines)
    return "\n".join([f"{title}:", *(f"  {name.ljust(width)}  {words}".rstrip() for name, words in lines)])
