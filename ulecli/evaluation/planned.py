"""Every training of an evaluation whose training sets are made, ready to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulecli.evaluation.expectations import cost_of
from ulecli.evaluation.exploiters.checkpoints import Checkpoint
from ulecli.evaluation.forecast import Work
from ulecli.evaluation.parts import OpenedPart
from ulecli.evaluation.results.record import Arm, run_key
from ulecli.evaluation.set_files import TrainingSet
from ulecli.evaluation.task import Task
from ulecli.evaluation.ways import ways


@dataclass(frozen=True)
class Planned:
    """One training.

    Attributes:
        arm: What distinguishes it.
        task: What is to be done.
        settings: All that decides what comes out, beside the images, for its record.
        key: Under which its result is kept; see `ulecli.evaluation.results.record.run_key`.
        data_md5: Digest of the data set.
        epochs: Passes over the training set.
        work: What it costs.
    """

    arm: Arm
    task: Task
    settings: dict[str, Any]
    key: str
    data_md5: str
    epochs: int
    work: Work


def planned(
    opened: OpenedPart,
    sets: list[TrainingSet],
    test: TrainingSet,
    checkpoints: Path | None = None,
    validation: TrainingSet | None = None,
) -> Iterator[Planned]:
    """Yield the trainings of a part, in an order in which the first results say the most.

    Args:
        opened: The part.
        sets: What is trained on.
        test: The clean test images.
        checkpoints: Folder where trainings are taken up; None for none.
        validation: Clean images that exploiters validate on; None for none.
    """
    part, config, data = opened.part, opened.part.config, opened.data
    drawn = any(one.seed is not None for one in sets)
    for seed in config.seeds:
        own = [one for one in sets if one.seed in (None, seed)]
        for exploiter in config.exploiter_names:
            measure = config.measure(exploiter)
            for way in ways(part, measure, opened.side) if seed in part.seeds(measure, drawn=drawn) else ():
                for one in own:
                    arm = Arm(data.name, one.name, measure.name, way.net, config.preset, seed)
                    key = run_key(arm, way.settings, one.digest, data.digest)
                    task = Task(
                        train=one,
                        test=test,
                        protocol=way.protocol,
                        exploiter=exploiter,
                        attack_steps=config.pgd_steps,
                        robust_images=config.robust_images,
                        seed=seed,
                        device=config.device,
                        plugins=config.loaded,
                        backbone=way.backbone,
                        checkpoint=_checkpoint(checkpoints, key, config.device),
                        validation=validation,
                    )
                    work = cost_of(arm, way, one.shape[0])
                    yield Planned(arm, task, way.settings, key, data.digest, way.epochs, work)


def _checkpoint(folder: Path | None, key: str, device: str) -> Checkpoint | None:
    return None if folder is None else Checkpoint(folder / f"{key}.pt", f"{key} on {device}")
