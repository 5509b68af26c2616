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
        "ULEOs": "bilevel-uleo",
        "ULEO-Augs": "bilevel-uleo-augs",
        "ULEO-Grays": "bilevel-uleo-grays",
        "ULEO-GrayAugs": "bilevel-uleo-grayaugs",
        "ULEOs of an MLP": f"bilevel-uleo{ON}{MLP}",
        "AdvPois": "advpois",
    }
)
"""The paper's methods by its Algorithm 1, which alternates between surrogate and perturbations; on ResNet-18
where a table names no other net."""

METHODS: Mapping[str, Mapping[str, str]] = MappingProxyType({"quick": AMORTISED, "fast": FULL, "paper": FULL})
"""By preset, the defender of each method. Algorithm 1 with ResNet-18 is out of a CPU's reach."""


def defender_of(training: Training, preset: str) -> str:
    """Return the name of the defender of a training's images; "" where nothing protects them."""
    treatment = training.treatment
    if treatment in (CLEAN, SHARE):
        return ""
    method = METHODS[preset][treatment.method]
    usual = PHOTO_RESNET if training.photos else RESNET
    if METHODS[preset] is AMORTISED or ON in method:
        usual = ""
    net = treatment.surrogate or usual
    return method + (f"{ON}{net}" if net else "") + (CLASSWISE if treatment.classwise else "")
