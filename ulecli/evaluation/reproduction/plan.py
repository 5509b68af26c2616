"""Which evaluations give the cells that were asked for, and which cells can't be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ulecli.data.datasets import DATASETS
from ulecli.errors import UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import check_defender
from ulecli.evaluation.reproduction.asked import Asked
from ulecli.evaluation.reproduction.methods import defender_of
from ulecli.evaluation.reproduction.paper import (
    CLEAN,
    DENSENET,
    SHARE,
    PaperTable,
    Training,
)
from ulecli.evaluation.results import record

PHOTO_EPSILON = 16
"""The paper's bound on ImageNet, in levels."""

_FEW = 5000
"""Images up to which DenseNet-121 can be trained on a CPU."""


@dataclass(frozen=True)
class Group:
    """Trainings that one evaluation carries out.

    Attributes:
        title: What they are, in words.
        config: Of the evaluation; those with the same folder share their results.
        trainings: What of the paper they are.
    """

    title: str
    config: EvaluateConfig
    trainings: tuple[Training, ...]

    @property
    def folder(self) -> Path:
        """Where the results are kept."""
        assert self.config.out is not None
        return self.config.out

    def is_of(self, training: Training, one: record.RunRecord) -> bool:
        """Return whether a record of this folder is of a training."""
        config, names = self.config, {SHARE: record.CLEAN_SHARE, CLEAN: record.CLEAN}
        poison = names.get(training.treatment) or config.defender_names[0]
        net = training.net or _own_net(config)
        return (one.arm.poison, one.arm.exploiter, one.arm.arch) == (poison, training.exploiter, net)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        asked: By whom it was asked for.
        groups: In the order in which they are carried out.
        left_out: Why, for each training that can't be had.
    """

    asked: Asked
    groups: tuple[Group, ...]
    left_out: Mapping[Training, str]

    @property
    def trainings(self) -> tuple[Training, ...]:
        """All that the tables need, those that are left out too."""
        return tuple(dict.fromkeys(_wanted(self.asked.chosen)))


def plan(asked: Asked) -> Plan:
    """Decide which evaluations are needed, before any of them begins.

    Raises:
        UsageError: Nothing of it can be had, or an option can't be right.
    """
    left_out, bundles = dict[Training, str](), dict[tuple[object, ...], list[Training]]()
    for training in dict.fromkeys(_wanted(asked.chosen)):
        if why := _hindrance(training, asked):
            left_out[training] = why
        else:
            bundles.setdefault(_place(training), []).append(training)
    groups = tuple(group for bundle in bundles.values() for group in _groups(bundle, asked))
    if not groups:
        raise UsageError(f"nothing can be reproduced of it: {'; '.join(dict.fromkeys(left_out.values()))}")
    return Plan(asked, groups, left_out)


def _wanted(tables: Sequence[PaperTable]) -> Iterator[Training]:
    for table in tables:
        for cell in table.cells:
            yield from (cell.training, *((cell.beside,) if cell.beside else ()))


def _hindrance(training: Training, asked: Asked) -> str:
    """Say why a training can't be had; "" if it can."""
    if training.photos and not asked.folder:
        return (
            "ImageNet can't be downloaded: name its first 100 classes or photos of yours by --dataset FOLDER"
        )
    if training.mix and asked.train_images:
        return "mixes are shares of the whole training set: leave out --train-images"
    few = asked.dataset == "shapes" or 0 < asked.train_images <= _FEW
    nets = {training.net, training.treatment.surrogate}
    if DENSENET in nets and asked.device == "cpu" and not few:
        return (
            f"{DENSENET} takes about a day a training and more than 16 GiB on a CPU: take a GPU, or "
            f"--train-images {_FEW} or fewer"
        )
    if defender := defender_of(training, asked.preset):
        try:
            check_defender(defender)
        except UsageError:
            return f"this ulecli has no defender '{defender}', which preset {asked.preset} needs"
    return ""


def _place(training: Training) -> tuple[object, ...]:
    """Return what trainings of one group have in common."""
    treatment = CLEAN if training.treatment == SHARE else training.treatment
    return training.photos, training.mix, treatment


def _groups(bundle: Sequence[Training], asked: Asked) -> Iterator[Group]:
    """Yield groups of trainings on the same images: nets that meet the same exploiters are in one group."""
    exploiters: dict[str, dict[str, None]] = {}
    for training in bundle:
        exploiters.setdefault(training.net, {})[training.exploiter] = None
    nets: dict[tuple[bool, frozenset[str]], list[str]] = {}
    for net, names in exploiters.items():  # the preset's own net has no name, and so a group of its own
        nets.setdefault((net == "", frozenset(names)), []).append(net)
    for members in nets.values():
        own = tuple(one for one in bundle if one.net in members)
        config = _config(own[0], tuple(exploiters[members[0]]), tuple(filter(None, members)), asked)
        yield Group(_title(config, own[0]), config, own)


def _config(
    first: Training, exploiters: tuple[str, ...], archs: tuple[str, ...], asked: Asked
) -> EvaluateConfig:
    defender = defender_of(first, asked.preset)
    config = EvaluateConfig(
        exploiters=exploiters,
        defenders=(defender,) if defender else (),
        archs=archs,
        preset=asked.preset,
        seeds=asked.seeds,
        dataset="cifar10" if not asked.dataset or asked.folder else asked.dataset,
        data_root=asked.data_root,
        download=asked.download,
        mix=first.mix,
        train_images=asked.train_images,
        controls=not defender,
        noise=False,
        out=asked.out / (f"mix-{first.mix[0]}-{first.mix[1]}" if first.mix else "whole"),
        pictures=False,
        resume=True,
        device=asked.device,
        jobs=asked.jobs,
        threads=asked.threads,
        workers=asked.workers,
        ray_address=asked.ray_address,
    )
    return _on_photos(config, asked) if first.photos else config


def _on_photos(config: EvaluateConfig, asked: Asked) -> EvaluateConfig:
    """Return the same on the folder, all groups of which read the photos at one size."""
    defenders = [
        defender_of(one, asked.preset)
        for one in dict.fromkeys(_wanted(asked.chosen))
        if one.photos and not _hindrance(one, asked)
    ]
    known = replace(config, defenders=tuple(filter(None, defenders)), dataset=asked.folder, size=asked.size)
    return replace(
        known,
        defenders=config.defenders,
        size=known.side,
        epsilon=PHOTO_EPSILON,
        out=asked.out / "photos",
    )


def _title(config: EvaluateConfig, first: Training) -> str:
    defender = f" ({config.defender_names[0]})" if config.defenders else ""
    mix = f" in a mix of {first.mix[0]} % clean and {first.mix[1]} %" if first.mix else ""
    net = f" with {', '.join(config.arch_names)}" if config.archs else ""
    return f"{first.treatment.method}{defender}{mix}: {', '.join(config.exploiter_names)}{net}"


def _own_net(config: EvaluateConfig) -> str:
    measure = config.measure(config.exploiter_names[0])
    side = 32 if config.dataset in DATASETS else config.side
    return config.protocol(measure, "", side).net
