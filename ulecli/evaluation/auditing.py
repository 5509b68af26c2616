"""Audits of poisons without any training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.run import open_data
from ulecli.evaluation.set_files import TrainingSet
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.nets.devices import usable_device
from ulecli.nets.threads import torch_threads
from ulecli.system.cores import usable_cores


def audited(
    config: EvaluateConfig, progress: Callable[[str, int, int], None] | None = None
) -> list[TrainingSet]:
    """Read or make the poisons of an evaluation and compare them with the clean images; nothing is trained.

    Args:
        config: What to audit: poisons, defenders or protected photos; `out` and `controls` are of no account.
        progress: Called as a defender works, with a part of its work and how much of how many is done.

    Returns:
        A set for each, with its audit and warnings; their files are gone.

    Raises:
        UleError: Data, a poison or the device can't be used.
    """
    usable_device(config.device)
    alone = replace(config, controls=False, mix=None, out=None, resume=False)
    threads = torch_threads(config.threads or usable_cores())
    with threads, tempfile.TemporaryDirectory(prefix="ulecli-") as folder:
        return list(TrainingSets(alone, open_data(alone), Path(folder), progress).sets())
