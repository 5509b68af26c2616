"""Which evaluations give the cells that were asked for, and which cells can't be had."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import fspath
from pathlib import Path
from types import MappingProxyType

from ulecli.data.datasets import DATASETS
from ulecli.errors import UsageError, shown, unknown
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import CLASSWISE, check_defender
from ulecli.evaluation.exploiters.protocol import PRESETS, default_preset
from ulecli.evaluation.reproduction.paper import (
    CLEAN,
    DENSENET,
    MLP,
    SHARE,
    TABLES,
    PaperTable,
    Training,
    Treatment,
)
from ulecli.evaluation.results import record
from ulecli.surrogates.recipe import ON

ALL = "all"

PHOTO_EPSILON = 16
"""The paper's bound on ImageNet, in levels."""

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
"""The paper's methods by its Algorithm 1, which alternates between surrogate and perturbations."""

METHODS: Mapping[str, Mapping[str, str]] = MappingProxyType({"quick": AMORTISED, "fast": FULL, "paper": FULL})
"""By preset, the defender of each method. Algorithm 1 with ResNet-18 is out of a CPU's reach."""

_FEW = 5000
"""Images up to which DenseNet-121 can be trained on a CPU."""


@dataclass(frozen=True)
class Asked:
    """What to reproduce, and how.

    Attributes:
        tables: Names of `paper.TABLES`, or `ALL`.
        out: Folder of the results.
        preset: A key of `PRESETS`; "" for that of the device.
        dataset: A folder of photos for Table 5, or a name of `DATASETS` for all others; "" for CIFAR-10.
        seeds: Of the trainings.
        data_root: As in `EvaluateConfig`; likewise the others.
    """

    tables: tuple[str, ...]
    out: Path
    preset: str = ""
    dataset: str = ""
    seeds: tuple[int, ...] = (0,)
    data_root: Path | None = None
    download: bool = True
    size: int = 0
    train_images: int = 0
    device: str = "cpu"
    jobs: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        names = tuple(dict.fromkeys(self.tables))
        for name in names:
            if name not in (*TABLES, ALL):
                raise unknown("table or figure", name, [*TABLES, ALL])
        if not names:
            raise UsageError(f"--reproduce needs a table or figure: {', '.join([*TABLES, ALL])}")
        object.__setattr__(self, "tables", names)
        object.__setattr__(self, "preset", self.preset or default_preset(self.device))
        if self.preset not in PRESETS:
            raise unknown("preset", self.preset, PRESETS)
        if self.folder and not Path(self.folder).is_dir():
            raise unknown("data set and no folder", self.folder, DATASETS)
        named = {one.name for one in TABLES.values() if _has_photos(one)}
        if self.folder and not named & {one.name for one in self.chosen}:
            raise UsageError(
                f"--dataset {shown(self.dataset)}: a folder of photos is for {', '.join(sorted(named))}: "
                "reproduce that too, or leave out --dataset"
            )

    @property
    def chosen(self) -> tuple[PaperTable, ...]:
        """The tables, in the paper's order."""
        return tuple(one for name, one in TABLES.items() if name in self.tables or ALL in self.tables)

    @property
    def folder(self) -> str:
        """The folder of photos, "" for none."""
        return "" if self.dataset in DATASETS else self.dataset

    @property
    def command(self) -> str:
        """The command that asks for it, but for what decides no figure."""
        options = {
            "--reproduce": ",".join(self.tables),
            "--preset": self.preset,
            "--seeds": ",".join(map(str, self.seeds)),
            "--dataset": self.dataset,
            "--size": str(self.size or ""),
            "--train-images": str(self.train_images or ""),
            "--device": self.device,
            "--out": fspath(self.out),
        }
        given = [word for option, value in options.items() if value for word in (option, value)]
        return shlex.join(["ulecli", "evaluate", *given])


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


def _has_photos(table: PaperTable) -> bool:
    return any(cell.training.photos for cell in table.cells)


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
    if defender := _defender(training.treatment, asked.preset):
        try:
            check_defender(defender)
        except UsageError:
            return f"this ulecli has no defender '{defender}', which preset {asked.preset} needs"
    return ""


def _defender(treatment: Treatment, preset: str) -> str:
    """Return the name of the defender for a treatment; "" where nothing protects the images."""
    if treatment in (CLEAN, SHARE):
        return ""
    net = f"{ON}{treatment.surrogate}" if treatment.surrogate else ""
    return METHODS[preset][treatment.method] + net + (CLASSWISE if treatment.classwise else "")


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
    defender = _defender(first.treatment, asked.preset)
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
    )
    return _on_photos(config, asked) if first.photos else config


def _on_photos(config: EvaluateConfig, asked: Asked) -> EvaluateConfig:
    """Return the same on the folder, all groups of which read the photos at one size."""
    defenders = [
        _defender(one.treatment, asked.preset)
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
