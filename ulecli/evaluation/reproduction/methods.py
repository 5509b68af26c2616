"""Who stands for each of the paper's methods: a defender of `ulecli evaluate`, by preset."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ulecli.evaluation.defenders import CLASSWISE
from ulecli.evaluation.reproduction.paper import CLEAN, MLP, PHOTO_RESNET, RESNET, SHARE, Training
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
        "ULEOs": f"bilevel-uleo{ON}{RESNET}",
        "ULEO-Augs": f"bilevel-uleo-augs{ON}{RESNET}",
        "ULEO-Grays": f"bilevel-uleo-grays{ON}{RESNET}",
        "ULEO-GrayAugs": f"bilevel-uleo-grayaugs{ON}{RESNET}",
        "ULEOs of an MLP": f"bilevel-uleo{ON}{MLP}",
        "AdvPois": f"advpois{ON}{RESNET}",
    }
)
"""The paper's methods by its Algorithm 1, which alternates between surrogate and perturbations; the net is
another where a table says so."""

METHODS: Mapping[str, Mapping[str, str]] = MappingProxyType({"quick": AMORTISED, "fast": FULL, "paper": FULL})
"""By preset, the defender of each method. Algorithm 1 with ResNet-18 is out of a CPU's reach."""


def defender_of(training: Training, preset: str) -> str:
    """Return the name of the defender of a training's images; "" where nothing protects them."""
    treatment = training.treatment
    if treatment in (CLEAN, SHARE):
        return ""
    name, _, usual = METHODS[preset][treatment.method].partition(ON)
    net = treatment.surrogate or (PHOTO_RESNET if training.photos and usual == RESNET else usual)
    return name + (f"{ON}{net}" if net else "") + (CLASSWISE if treatment.classwise else "")
