"""What a reproduction was asked for, checked before any work begins."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from os import fspath
from pathlib import Path

from ulecli.data.datasets import DATASETS
from ulecli.errors import UsageError, shown, unknown
from ulecli.evaluation.exploiters.protocol import PRESETS, default_preset
from ulecli.evaluation.reproduction.paper import TABLES, PaperTable
from ulecli.system.worker_kinds import WorkerKind

ALL = "all"
"""In the place of the names of all tables and figures."""


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
    workers: str = WorkerKind.PROCESSES
    ray_address: str = ""

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


def _has_photos(table: PaperTable) -> bool:
    return any(cell.training.photos for cell in table.cells)
