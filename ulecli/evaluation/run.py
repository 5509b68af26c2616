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
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ulecli.data.datasets import DATASETS, Dataset, open_dataset
from ulecli.data.images import ImageSet
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.expectations import expect, expected_trainings
from ulecli.evaluation.listener import Listener
from ulecli.evaluation.outlook import Outlook
from ulecli.evaluation.parts import OpenedPart, parts_of
from ulecli.evaluation.photo_sets import photo_data
from ulecli.evaluation.planned import Planned, planned
from ulecli.evaluation.preparation import check_plan
from ulecli.evaluation.results.each import by_treatment, treatment_of
from ulecli.evaluation.results.journal import Journal
from ulecli.evaluation.results.plots import curves, gallery
from ulecli.evaluation.results.record import CONTROLS, RunRecord
from ulecli.evaluation.self_checks import backbone_warnings, data_notes, result_warnings
from ulecli.evaluation.set_files import TrainingSet, write_clean
from ulecli.evaluation.task import PACKAGES, Done
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.evaluation.workers import Workers, workers_of
from ulecli.nets.backbones.opening import open_backbone
from ulecli.nets.devices import usable_device
from ulecli.nets.threads import torch_threads
from ulecli.system.cores import usable_cores
from ulecli.system.versions import versions
from ulecli.system.writing import check_room, writing_to

__all__ = ["EvaluateConfig", "Evaluation", "Interrupted", "Listener", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        records: One for each training, those of earlier runs in the same folder included.
        notes: What the user should know beyond the records, one line each.
    """

    records: tuple[RunRecord, ...]
    notes: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an evaluation.

    Attributes:
        done: What was finished before it, by earlier runs in the same folder too.
    """

    def __init__(self, done: Evaluation) -> None:
        super().__init__()
        self.done = done


def evaluate(config: EvaluateConfig, listener: Listener | None = None) -> Evaluation:
    """Train every exploiter on every training set, and judge each net on clean test images.

    With `config.out`, every finished training is kept there at once, and of what is not finished the images
    that are protected and the epochs that are trained; learning curves and a gallery are drawn at the end.

    Args:
        config: What to do.
        listener: Receives reports of how it goes on.

    Raises:
        UleError: data, a poison, the device or the output folder can't be used, or a training process died.
        Interrupted: Ctrl-C; it holds what is done.
    """
    usable_device(config.device)
    parts = parts_of(config)
    data = open_data(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch_threads(config.threads or usable_cores()))
        folder = config.out
        if folder is None:
            with writing_to(Path(tempfile.gettempdir()), "make room or name a folder with --out"):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ulecli-")))
        journal = Journal.open(folder, config.fingerprint(data.digest), resume=config.resume)
        stack.enter_context(journal)
        read = [data if one.config.side == config.side else open_data(one.config) for one in parts]
        outlook = Outlook(listener)
        opened = [
            OpenedPart(part, own, TrainingSets(part.config, own, folder / "sets", outlook.prepared))
            for part, own in zip(parts, read, strict=True)
        ]
        notes = (*journal.notes, *data_notes(config, data), *opened[0].builder.seed_notes())
        check_room(folder / "sets", sum(one.builder.size for one in opened))
        try:
            with workers_of(config) as workers:
                records = _carried_out(config, opened, journal, outlook, listener, workers)
        except KeyboardInterrupt as error:
            wanted = {one.arm for one in expected_trainings(opened)}
            done = (record for record in journal.records if record.arm in wanted)
            raise Interrupted(Evaluation(tuple(done), notes)) from error
        return Evaluation(tuple(records), notes)


def _carried_out(
    config: EvaluateConfig,
    opened: list[OpenedPart],
    journal: Journal,
    outlook: Outlook,
    listener: Listener | None,
    workers: Workers,
) -> list[RunRecord]:
    """Make all training sets and train on them; return the records of the whole plan."""
    folder = journal.path.parent
    trainings = sum(check_plan(one, workers) for one in opened)
    if listener is not None:
        listener.starting(opened[0].builder.names(), trainings)
        listener.expecting(expect(opened, journal.records, outlook, workers))
    sets = [list(one.builder.sets()) for one in opened]
    plan: dict[str, Planned] = {}  # by key, since nothing counts twice, however often named
    for one, own in zip(opened, sets, strict=True):
        test, held = write_clean("test", one.data.test, folder / "sets"), one.builder.validation
        validation = None if held is None else write_clean("validation", held, folder / "sets")
        kept = folder / "checkpoints" if config.out else None
        plan |= {each.key: each for each in planned(one, own, test, kept, validation)}
    records = _trained(config, list(plan.values()), journal, outlook, listener, workers)
    if config.out is not None and config.pictures:
        shown = by_treatment(records) if config.each else records
        with writing_to(folder):
            curves(shown, folder / "curves.png", folder / "curves.svg")
            _draw_gallery(opened[0].builder.clean, sets[0], config, folder / "gallery.png")
    return records


def open_data(config: EvaluateConfig) -> Dataset:
    """Open the data set of an evaluation.

    Raises:
        UleError: It can't be read.
    """
    if config.protected:
        return photo_data(config)
    size = config.size if config.dataset in DATASETS else config.side
    return open_dataset(config.dataset, config.data_root, size=size, download=config.download)


def _trained(
    config: EvaluateConfig,
    plan: list[Planned],
    journal: Journal,
    outlook: Outlook,
    listener: Listener | None,
    workers: Workers,
) -> list[RunRecord]:
    """Train what the journal lacks; return the records of the whole plan."""
    todo = [one for one in plan if journal.find(one.key) is None]
    jobs = workers.jobs(len(todo), max((one.task.train.bytes for one in todo), default=0))
    tasks = [one.task for one in todo]
    if listener is not None:
        listener.planned([one.arm for one in todo], [one.epochs for one in todo])
    outlook.plan([one.work for one in todo], jobs)
    on_epoch = listener.epoch if listener else None
    for done in workers.run(tasks, jobs, on_epoch=on_epoch, on_step=outlook.trained):
        record = _record(config, todo[done.number], done)
        journal.add(record)
        if checkpoint := todo[done.number].task.checkpoint:
            checkpoint.remove()
        outlook.trained(done.number, 1.0)
        if listener is not None:
            listener.finished(done.number, record)
    found = [journal.find(one.key) for one in plan]
    return [record for record in found if record is not None]


def _record(config: EvaluateConfig, one: Planned, done: Done) -> RunRecord:
    arm, task, result = one.arm, one.task, done.result
    backbone = task.backbone
    # A training that went on with another number of threads differs by rounding from one that did not.
    exact = config.device == "cpu" and len(done.threads) == 1
    found = result_warnings(
        result,
        dataset=arm.dataset,
        preset=arm.preset,
        poison=arm.poison,
        exploiter=arm.exploiter,
        whole=not (config.archs or config.train_images or config.mix or config.validation),
    )
    return RunRecord(
        arm=arm,
        config=one.settings,
        data_md5=one.data_md5,
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
        device=done.device,
        deterministic=done.threads[0] if exact else 0,
        versions=versions((*PACKAGES, *(open_backbone(backbone).packages if backbone else ()))),
        warnings=(
            *task.train.warnings,
            *found,
            *(backbone_warnings(backbone, arm.poison) if backbone else ()),
        ),
        epsilon=task.train.epsilon,
        n_validation=task.validation.shape[0] if task.validation and result.validation_accuracies else 0,
        validation_accuracies=result.validation_accuracies,
    )


def _draw_gallery(clean: ImageSet, sets: list[TrainingSet], config: EvaluateConfig, path: Path) -> None:
    """Draw one image of each of up to ten classes with the first perturbation that is not a control's."""
    judged = [
        one
        for one in sets
        if one.audit is not None and treatment_of(one.name, one.classes)[0] not in CONTROLS
    ]
    if not judged or config.mix or config.train_images:
        return
    firsts = clean.firsts(10)
    protected = judged[0].read().images[firsts].numpy()
    gallery(clean.images[firsts].numpy(), protected, config.epsilon, path)
