"""Self-checks: what casts doubt on the figures of an evaluation stands beside them as a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ulecli.data.datasets import DATASETS, Dataset
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import grid_of
from ulecli.evaluation.exploiters.result import ExploitResult
from ulecli.evaluation.photo_plan import missing_controls
from ulecli.evaluation.poisons.clean_checks import check_clean, check_test_set
from ulecli.evaluation.results.record import CLEAN, CONTROLS
from ulecli.nets.backbones.opening import BackboneRequest

EXPECTED: Mapping[tuple[str, str], float] = {
    ("cifar10", "quick"): 85.0,
    ("cifar10", "fast"): 93.0,
    ("cifar10", "paper"): 93.5,
    ("shapes", "quick"): 90.0,
}
"""By data set and preset: what the standard exploiter reaches on clean images at least, in percent, with the
preset's net and all training images."""

_COLLAPSED = 20.0
"""Points by which PGD may beat FGSM, before the gradient of the net is called masked."""

_LEARNED = 0.2
"""A control must come this share of the way from guessing to 100 %."""


def data_notes(config: EvaluateConfig, data: Dataset) -> Iterator[str]:
    """Yield what to know of the data before any training, one line each."""
    yield from check_test_set(data.test, data.train)
    if config.dataset in DATASETS:
        return
    yield from check_clean(Path(config.dataset))
    yield from missing_controls(config)
    names = [name for name in config.defender_names if grid_of(name, config.known.defenders)]
    if names and not config.size:
        yield (
            f"photos are squeezed to {config.side} x {config.side}, the size that {names[0]} protects; "
            "--protected judges larger ones that `ulecli protect` wrote"
        )


def backbone_warnings(backbone: BackboneRequest, poison: str) -> tuple[str, ...]:
    """Return what to warn of where an exploiter starts from a pretrained net, one line each.

    Args:
        backbone: The net.
        poison: Name of the training set.
    """
    if not backbone.is_maker or poison in CONTROLS:
        return ()
    return (
        f"{backbone.label} is one of the nets that perturbations are made with: where it took part in the "
        "making, it is no independent judge",
    )


def result_warnings(
    result: ExploitResult, *, dataset: str, preset: str, poison: str, exploiter: str, whole: bool
) -> tuple[str, ...]:
    """Return what to warn of, one line each.

    Args:
        result: Of the run.
        dataset: Its name.
        preset: Its name.
        poison: Name of the training set.
        exploiter: Name of the exploiter.
        whole: All training images and the preset's own net.
    """
    found = []
    chance = 100 / len(result.recalls)
    expected = EXPECTED.get((dataset, preset), 0.0)
    if whole and poison == CLEAN and exploiter == "standard" and result.last < expected:
        found.append(
            f"the clean control reaches {result.last:.1f} %, below the {expected:.0f} % that preset {preset} "
            "is good for: something is wrong with data or training"
        )
    if result.robust:
        gap = result.robust["fgsm"] - result.robust["pgd-20"]
        if gap > _COLLAPSED:
            found.append(
                f"adversarial training collapsed: PGD-20 leaves {gap:.0f} points less than FGSM; its clean "
                "accuracy is not that of a robust net"
            )
    if poison == CLEAN and result.last < chance + _LEARNED * (100 - chance):
        found.append(
            f"clean images teach the exploiter {exploiter} no more than {result.last:.1f} %: its training is "
            "too short, or it destroys the images; nothing follows from its other rows"
        )
    return tuple(found)
