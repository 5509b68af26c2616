"""Self-checks: what makes the figures of an evaluation doubtful is said beside them."""

from __future__ import annotations

from collections.abc import Mapping

from ulecli.exploiters import ExploitResult
from ulecli.results import CLEAN

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


def doubts(
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
        if poison == CLEAN and result.last < chance + 0.2 * (100 - chance):
            found.append(f"clean images give a robust net {result.last:.1f} % only: too short to judge by")
    return tuple(found)
