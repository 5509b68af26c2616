"""Evaluation: train exploiters on protected images and controls, and say what they learned.

Each training belongs to an *arm*, as in a trial: one way of treating the training images, by one exploiter,
with one net, preset and seed. Arms that differ in the treatment alone are compared.

Example::

    from ulecli import EvaluateConfig, evaluate

    config = EvaluateConfig(defenders=("cifar",), exploiters=("standard", "gray"), seeds=(0, 1, 2))
    for record in evaluate(config).records:
        print(record.arm, record.last)
"""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ulecli import __version__
from ulecli.data.datasets import DATASETS, Dataset, open_dataset
from ulecli.evaluation.config import EvaluateConfig, parse_mix
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.forecast import Forecast, Work
from ulecli.evaluation.parts import Part, parts_of
from ulecli.evaluation.photo_sets import photo_data
from ulecli.evaluation.preparation import check_device, check_plan, jobs_of
from ulecli.evaluation.results.each import by_treatment, treatment_of
from ulecli.evaluation.results.journal import Journal
from ulecli.evaluation.results.plots import curves, gallery
from ulecli.evaluation.results.record import CONTROLS, Arm, RunRecord, run_key
from ulecli.evaluation.scheduling import Done, Task, run
from ulecli.evaluation.self_checks import backbone_warnings, data_notes, result_warnings
from ulecli.evaluation.set_files import TrainingSet
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.evaluation.ways import ways
from ulecli.nets.backbones.opening import open_backbone
from ulecli.nets.precision import has_bfloat16
from ulecli.system.atomic import replacing
from ulecli.system.cores import usable_cores

__all__ = ["EvaluateConfig", "Evaluation", "Listener", "evaluate", "parse_mix"]


class Listener(Protocol):
    """Receives reports of how an evaluation goes on."""

    def starting(self, sets: Sequence[str], trainings: int) -> None:
        """There are to be so many trainings on sets of these names, those of earlier runs included."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """A defender has done so much of a part of its work."""

    def planned(self, arms: list[Arm], epochs: list[int]) -> None:
        """These trainings are still to be done, of so many epochs each."""

    def remaining(self, seconds: float) -> None:
        """By what was measured so far, the trainings that are left take so long."""

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        """A training, by its place in the plan, has finished an epoch."""

    def finished(self, number: int, record: RunRecord) -> None:
        """A training is done."""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        records: One for each training, those of earlier runs in the same folder included.
        notes: What the user should know beyond the records, one line each.
    """

    records: tuple[RunRecord, ...]
    notes: tuple[str, ...] = ()


def evaluate(config: EvaluateConfig, listener: Listener | None = None) -> Evaluation:
    """Train every exploiter on every training set, and judge each net on clean test images.

    With `config.out`, every finished training is kept there at once, and the learning curves and a gallery
    are drawn at the end.

    Args:
        config: What to do.
        listener: Receives reports of how it goes on.

    Raises:
        UleError: data, a poison, the device or the output folder can't be used, or a training process died.
    """
    check_device(config.device)
    parts = parts_of(config)
    data = open_data(config)
    with contextlib.ExitStack() as stack:
        folder = config.out
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ulecli-")))
        journal = Journal.open(folder, config.fingerprint(data.digest), resume=config.resume)
        stack.enter_context(journal)
        read = [data if one.config.side == config.side else open_data(one.config) for one in parts]
        report = listener.preparing if listener else None
        builders = [
            TrainingSets(part.config, own, folder / "sets", report)
            for part, own in zip(parts, read, strict=True)
        ]
        trainings = sum(map(check_plan, parts, read, builders))
        if listener is not None:
            listener.starting(builders[0].names(), trainings)
        sets = [list(builder.sets()) for builder in builders]
        notes = (*journal.notes, *data_notes(config, data))
        tests = [_test_set(own, folder / "sets") for own in read]
        planned = chain.from_iterable(map(_plan, parts, read, sets, tests))
        plan = list({one.key: one for one in planned}.values())  # nothing counts twice, however often named
        records = _trained(config, plan, journal, listener)
        if config.out is not None:
            curves(
                by_treatment(records) if config.each else records,
                folder / "curves.png",
                folder / "curves.svg",
            )
            _draw_gallery(read[0], sets[0], config, folder / "gallery.png")
        return Evaluation(tuple(records), notes)


def open_data(config: EvaluateConfig) -> Dataset:
    """Open the data set of an evaluation.

    Raises:
        UleError: It can't be read.
    """
    if config.protected:
        return photo_data(config)
    size = config.size if config.dataset in DATASETS else config.side
    return open_dataset(config.dataset, config.data_root, size=size, download=config.download)


def _test_set(data: Dataset, folder: Path) -> TrainingSet:
    """Write the test set where every process can read it."""
    side = data.test.images.shape[-1]  # each part of an evaluation may have its own
    file, labels = folder / f"test-{side}.npy", folder / f"test-{side}.labels.npy"
    for path, values in ((file, data.test.images), (labels, data.test.labels)):
        with replacing(path) as part, part.open("wb") as stream:
            np.save(stream, values.numpy())
    return TrainingSet("test", file, labels, data.test.classes, data.test.digest)


@dataclass(frozen=True)
class _Planned:
    arm: Arm
    task: Task
    settings: dict[str, Any]
    key: str
    data_md5: str
    epochs: int

    @property
    def work(self) -> Work:
        """What the training costs: adversarial training takes a pass for each step of its attack as well."""
        attack = self.settings.get("attack")
        passes = 1 + (int(attack.get("steps", 1)) if attack else 0)
        cost = self.task.train.shape[0] * self.epochs * passes
        return Work(cost, (self.arm.exploiter, self.arm.arch))


def _plan(part: Part, data: Dataset, sets: list[TrainingSet], test: TrainingSet) -> Iterator[_Planned]:
    """Yield every training, in an order in which the first results say the most."""
    config, preset = part.config, PRESETS[part.config.preset]
    steps, tried = config.attack_steps or preset.attack_steps, preset.robust_images
    side = data.train.images.shape[-1]
    for seed in config.seeds:
        for exploiter in config.exploiters:
            measure = config.measure(exploiter)
            for way in ways(part, measure, side, tried) if seed in part.seeds(measure) else ():
                for one in sets:
                    if one.seed not in (None, seed):
                        continue
                    arm = Arm(data.name, one.name, measure.name, way.net, config.preset, seed)
                    key = run_key(arm, way.settings, one.digest, data.digest)
                    task = Task(
                        one,
                        test,
                        way.protocol,
                        exploiter,
                        steps,
                        tried,
                        seed,
                        config.device,
                        config.loaded,
                        way.backbone,
                    )
                    yield _Planned(arm, task, way.settings, key, data.digest, way.epochs)


def _trained(
    config: EvaluateConfig, plan: list[_Planned], journal: Journal, listener: Listener | None
) -> list[RunRecord]:
    """Train what the journal lacks; return the records of the whole plan."""
    todo = [one for one in plan if journal.find(one.key) is None]
    threads = config.threads or usable_cores()
    jobs = jobs_of(config, len(todo), max((prod(one.task.train.shape) for one in todo), default=0))
    device = _device_name(config.device, max(1, threads // jobs))
    tasks = [one.task for one in todo]
    if listener is not None:
        listener.planned([one.arm for one in todo], [one.epochs for one in todo])
    forecast = Forecast([one.work for one in todo], jobs)

    def stepped(number: int, share: float) -> None:
        forecast.step(number, share)
        if listener is not None and (seconds := forecast.remaining()) is not None:
            listener.remaining(seconds)

    on_epoch = listener.epoch if listener else None
    for done in run(tasks, jobs=jobs, threads=threads, on_epoch=on_epoch, on_step=stepped):
        record = _record(config, todo[done.number], done, device)
        journal.add(record)
        stepped(done.number, 1.0)
        if listener is not None:
            listener.finished(done.number, record)
    found = [journal.find(one.key) for one in plan]
    return [record for record in found if record is not None]


def _record(config: EvaluateConfig, planned: _Planned, done: Done, device: str) -> RunRecord:
    arm, task, result = planned.arm, planned.task, done.result
    backbone = task.backbone
    found = result_warnings(
        result,
        dataset=arm.dataset,
        preset=arm.preset,
        poison=arm.poison,
        exploiter=arm.exploiter,
        whole=not (config.archs or config.train_images or config.mix),
    )
    return RunRecord(
        arm=arm,
        config=planned.settings,
        data_md5=planned.data_md5,
        train_md5=task.train.digest,
        audit=task.train.audit,
        n_train=task.train.shape[0],
        n_test=task.test.shape[0],
        classes=task.train.classes,
        train_accuracies=result.train_accuracies,
        test_accuracies=result.test_accuracies,
        recalls=result.recalls,
        robust=result.robust,
        seconds=done.seconds,
        device=device,
        deterministic=config.device == "cpu",
        versions=_versions(open_backbone(backbone).packages if backbone else ()),
        warnings=(
            *task.train.warnings,
            *found,
            *(backbone_warnings(backbone, arm.poison) if backbone else ()),
        ),
        epsilon=task.train.epsilon,
    )


def _device_name(device: str, threads: int) -> str:
    if device == "cpu":
        precision = "" if has_bfloat16(device) else ", float32"
        return f"cpu, {threads} thread{'s' if threads > 1 else ''}{precision}"
    name: str = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return name


def _versions(more: Sequence[str]) -> dict[str, str]:
    found = {"ulecli": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("torchvision", "numpy", "pillow", *more):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _draw_gallery(data: Dataset, sets: list[TrainingSet], config: EvaluateConfig, path: Path) -> None:
    """Draw one image of each of up to ten classes with the first perturbation that is not a control's."""
    judged = [
        one
        for one in sets
        if one.audit is not None and treatment_of(one.name, one.classes)[0] not in CONTROLS
    ]
    if not judged or config.mix or config.train_images:
        return
    labels = data.train.labels
    firsts = [int((labels == label).nonzero()[0]) for label in range(min(10, len(data.train.classes)))]
    protected = judged[0].read().images[firsts].numpy()
    gallery(data.train.images[firsts].numpy(), protected, config.epsilon, path)
