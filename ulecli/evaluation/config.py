"""What one evaluation was asked to do, checked before any work begins."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ulecli.data.datasets import DATASETS
from ulecli.errors import UsageError, unknown
from ulecli.evaluation.defenders import check_defender, check_size, grid_of
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.protocol import PRESETS, Protocol, for_net
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.imaging.upload import Upload
from ulecli.nets.registry import NETS, check_net
from ulecli.transforms.views import ViewPolicy
from ulecli.units import DEFAULT_EPSILON, check_epsilon

SMALL = 48
"""Pictures up to this side are trained on by the protocol for 32 x 32, larger ones by that for photos."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that one run of `ulecli evaluate` was asked to do.

    Attributes:
        exploiters: Names of exploiters, see `ulecli.evaluation.exploiters.registry.FAMILIES`.
        defenders: Names of defenders that protect the training set now, see `ulecli.evaluation.defenders`.
        poisons: Files and folders of other people's poisons.
        poison_kind: What the numbers in `poisons` are.
        archs: Names of nets; empty for the preset's.
        preset: A key of `ulecli.evaluation.exploiters.protocol.PRESETS`.
        seeds: Of the exploiters; each is a training of its own.
        dataset: "cifar10", "cifar100", "shapes" or a folder of one folder of photos for each class.
        data_root: Where CIFAR lies; None for the usual place.
        download: Whether CIFAR may be downloaded.
        size: Side in pixels that photos are squeezed to; 0 for the side that the defenders protect, if they
            do only one, else the preset's.
        protected: Photo mode: the copy of `dataset` that `ulecli protect` wrote.
        upload: Photo mode: what a platform did to the files.
        only: Photo mode: the classes that are protected among clean ones; empty for all.
        mix: Percent of the training set that stays clean, and percent that is added protected (the paper's
            Table 4); None for all of it protected.
        train_images: Use this many training images, the same share of each class; 0 for all.
        epsilon: L-infinity bound in levels: of defenders and of noise, and what poisons are held to.
        attack_steps: Steps of PGD in adversarial training; 0 for the preset's.
        controls: Train on the clean images and on random noise as well.
        out: Where results are kept; None for nowhere.
        resume: Take up what is in `out`.
        device: A torch device.
        jobs: Trainings at the same time, each in a process of its own; 0 for as many as the cores allow.
        threads: CPU threads of all jobs together; 0 for all cores.

    Raises:
        UsageError: a name is unknown or a number out of range.
    """

    exploiters: tuple[str, ...] = ("standard", "gray")
    defenders: tuple[str, ...] = ()
    poisons: tuple[Path, ...] = ()
    poison_kind: PoisonKind = PoisonKind.AUTO
    archs: tuple[str, ...] = ()
    preset: str = "quick"
    seeds: tuple[int, ...] = (0,)
    dataset: str = "cifar10"
    data_root: Path | None = None
    download: bool = True
    size: int = 0
    protected: Path | None = None
    upload: Upload = field(default_factory=Upload)
    only: tuple[str, ...] = ()
    mix: tuple[int, int] | None = None
    train_images: int = 0
    epsilon: int = DEFAULT_EPSILON
    attack_steps: int = 0
    controls: bool = True
    out: Path | None = None
    resume: bool = False
    device: str = "cpu"
    jobs: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        for exploiter in self.exploiters:
            find_exploiter(exploiter)
        for defender in self.defenders:
            check_defender(defender)
        for arch in self.archs:
            check_net(arch)
        if self.preset not in PRESETS:
            raise unknown("preset", self.preset, PRESETS)
        if not self.exploiters or not self.seeds:
            raise UsageError("an evaluation needs at least one exploiter and one seed")
        counts = (self.train_images, self.attack_steps, self.size, self.jobs, self.threads)
        if min(*self.seeds, *counts) < 0 or max(self.seeds) >= 2**63:
            raise UsageError("seeds and counts are 0 or more, and seeds below 2^63")
        if self.mix is not None and (min(self.mix) < 1 or sum(self.mix) > 100):
            raise UsageError("--mix is CLEAN+ADDED in percent of the training set, for instance 5+30")
        if self.mix is not None and self.train_images:
            raise UsageError("--mix says already how many images are trained on: leave out --train-images")
        if self.resume and self.out is None:
            raise UsageError("--resume needs --out, the folder to take up")
        self._check_photo_mode()
        if self.dataset not in DATASETS:
            for defender in self.defenders:
                check_size(defender, self.side, self.side)

    def _check_photo_mode(self) -> None:
        if self.protected is None:
            if self.only or self.upload != Upload():
                raise UsageError("--only and --upload belong to --protected, the tree that protect wrote")
        elif self.dataset in DATASETS:
            raise UsageError("--protected needs --dataset FOLDER, the photos that were protected")
        elif self.defenders or self.poisons:
            raise UsageError("--protected stands alone: name no --poison and no --defender beside it")

    @property
    def side(self) -> int:
        """Side in pixels of the squares that photos are squeezed to."""
        augment = PRESETS[self.preset].photos.augment
        grid = max(map(grid_of, self.defenders), default=0)
        return self.size or grid or getattr(augment, "sizes", (64,))[0]

    def measure(self, exploiter: str) -> Countermeasure:
        """Return what an exploiter does."""
        return find_exploiter(exploiter, attack_steps=self.attack_steps or PRESETS[self.preset].attack_steps)

    def protocol(self, measure: Countermeasure, arch: str, side: int) -> Protocol:
        """Return how an exploiter trains a net, "" for the preset's, on pictures of a side."""
        preset = PRESETS[self.preset]
        chosen = preset.small if side <= SMALL else preset.photos
        if measure.attack is not None:
            chosen = replace(chosen, **preset.adversarial)
        if isinstance(chosen.augment, ViewPolicy):
            chosen = replace(chosen, augment=replace(chosen.augment, sizes=(side,)))
        if arch and arch != chosen.net:
            chosen = for_net(chosen, arch, {"size": side} if NETS[arch].sized else {})
        return chosen

    def fingerprint(self, data_md5: str) -> dict[str, Any]:
        """Return what all results of one folder have in common."""
        told = asdict(self)
        kept = ("preset", "dataset", "mix", "train_images", "epsilon", "only", "size")
        return {
            **{name: told[name] for name in kept},
            "dataset": self.dataset if self.dataset in DATASETS else Path(self.dataset).resolve().name,
            "upload": str(self.upload),
            "data_md5": data_md5,
        }


def parse_mix(text: str) -> tuple[int, int]:
    """Read "5+30".

    Raises:
        UsageError: it is something else.
    """
    found = re.fullmatch(r"(\d{1,3})\+(\d{1,3})", text)
    if not found:
        raise UsageError(f"--mix {text!r}: write CLEAN+ADDED in percent, for instance 5+30")
    return int(found[1]), int(found[2])
