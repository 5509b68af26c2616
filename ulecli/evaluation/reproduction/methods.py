"""Who stands for each of the paper's methods: a defender of `ulecli evaluate`, by preset."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ulecli.evaluation.defenders import CLASSWISE
from ulecli.evaluation.reproduction.paper import CLEAN, MLP, SHARE, Treatment
from ulecli.surrogates.recipe import ON

AMORTISED: Mapping[str, str] = MappingProxyType(
    {
        "ULEOs": "uleo",
        "ULEO-Augs": "uleo-augs",
        "ULEO-Grays": "uleo-grays",
        "ULEO-GrayAugs": "uleo-grayaugs",
        "ULEOs of an MLP": "uleo-mlp",
        "AdvPois": "advpois",
    }
)
"""The paper's methods by one surrogate that is trained briefly and then perturbs all images."""

FULL: Mapping[str, str] = MappingProxyType(
    {
        "ULEOs": "bilevel-uleo",
        "ULEO-Augs": "bilevel-uleo-augs",
        "ULEO-Grays": "bilevel-uleo-grays",
        "ULEO-GrayAugs": "bilevel-uleo-grayaugs",
        "ULEOs of an MLP": f"bilevel-uleo{ON}{MLP}",
        "AdvPois": "advpois",
    }
)
"""The paper's methods by its Algorithm 1, which alternates between surrogate and perturbations."""

METHODS: Mapping[str, Mapping[str, str]] = MappingProxyType({"quick": AMORTISED, "fast": FULL, "paper": FULL})
"""By preset, the defender of each method. Algorithm 1 with ResNet-18 is out of a CPU's reach."""


def defender_of(treatment: Treatment, preset: str) -> str:
    """Return the name of the defender for a treatment; "" where nothing protects the images."""
    if treatment in (CLEAN, SHARE):
        return ""
    net = f"{ON}{treatment.surrogate}" if treatment.surrogate else ""
    return METHODS[preset][treatment.method] + net + (CLASSWISE if treatment.classwise else "")
