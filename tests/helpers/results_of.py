"""Made-up runs for the tests of this folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ulecli
from ulecli.evaluation.results.record import Arm, RunRecord

PATHS = (Path(__file__).parent.parent, Path(ulecli.__file__).parent.parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
"""For a process that imports this module and the package."""


def run(
    poison: str = "clean",
    exploiter: str = "standard",
    last: float = 80.0,
    seed: int = 0,
    *,
    arch: str = "tiny",
    dataset: str = "shapes",
    **other: Any,
) -> RunRecord:
    """A run whose test accuracy rises to `last` in three epochs."""
    values: dict[str, Any] = {
        "config": {"epochs": 3, "rate": 0.1, "sizes": (32, 32)},
        "data_md5": "d0",
        "train_md5": f"t-{poison}",
        "audit": None if poison == "clean" else {"max_change": 8, "psnr_db": 31.5},
        "n_train": 500,
        "n_test": 100,
        "classes": ("disc", "ring", "bar", "cross"),
        "train_accuracies": (40.0, 70.0, 99.0),
        "test_accuracies": (last / 2, last * 0.75, last),
        "recalls": (),
        "robust": {},
        "seconds": 1.5,
        "device": "cpu",
        "deterministic": True,
        "versions": {"ulecli": "0.1.0", "torch": "2.13.0"},
        "warnings": (),
        "epsilon": 0 if poison == "clean" else 8,
    }
    return RunRecord(Arm(dataset, poison, exploiter, arch, "quick", seed), **{**values, **other})
