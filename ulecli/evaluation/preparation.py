"""What is checked before a defender or an exploiter goes to work, so that it fails at once or not at all."""

from __future__ import annotations

import torch

from ulecli.data.datasets import Dataset
from ulecli.errors import DeviceUnavailable, NothingToDo, UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.parts import Part
from ulecli.evaluation.scheduling import fitting_jobs
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.system.cores import usable_cores


def check_device(device: str) -> None:
    """Refuse a device that torch can't use here.

    Raises:
        DeviceUnavailable: torch knows no such device, or there is none.
    """
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DeviceUnavailable(f"torch can't use the device {device!r} here ({reason}): take cpu") from error


def check_plan(part: Part, data: Dataset, builder: TrainingSets) -> int:
    """Find what is wrong with a plan, and return how many trainings it has.

    Args:
        part: What was asked.
        data: The clean data set.
        builder: Of the training sets; other people's poisons are read, nothing else is made.

    Raises:
        NothingToDo: There is nothing to train on.
        UsageError: A set holds too few images for a batch.
        UleError: A poison can't be used, or there is too little memory for the jobs.
    """
    builder.read_poisons()
    if not (names := builder.names()):
        raise NothingToDo("nothing to train on: name a --defender or a --poison, or leave the controls")
    config = part.config
    side = data.train.images.shape[-1]
    protocols, trainings = {}, 0
    for measure in {one.name: one for one in part.measures()}.values():
        runs = len(names) * len(set(part.seeds(measure)))
        if measure.learner is not None:
            trainings += runs * len(part.requests)
            continue
        for arch in config.archs or ("",):
            protocol = config.protocol(measure, arch, side)
            trainings += runs * ((measure.name, protocol.net) not in protocols)
            protocols[measure.name, protocol.net] = protocol
    for protocol in protocols.values():
        if builder.least < (size := protocol.fitted(builder.least).batch_size):
            raise UsageError(
                f"{builder.least} training images don't fill a batch of {size}: take more, or another "
                "--preset"
            )
    jobs_of(config, trainings, builder.count * data.train.images[0].numel())
    return trainings


def jobs_of(config: EvaluateConfig, trainings: int, image_bytes: int) -> int:
    """Return how many trainings run at the same time.

    Args:
        config: What was asked.
        trainings: How many there are.
        image_bytes: Size of a training set.

    Raises:
        UleError: There is too little memory for the number that was asked for.
    """
    if config.device != "cpu":
        return 1
    wanted = config.jobs if all(one.source for one in config.loaded) else 1  # objects can't travel
    return fitting_jobs(wanted, trainings, config.threads or usable_cores(), image_bytes)
