"""What one evaluation was asked to do, checked before any work begins."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ulecli.data.datasets import DATASETS
from ulecli.errors import UsageError, unknown
from ulecli.evaluation.by_value import AnyDefender, AnyExploiter, AnyNet, named
from ulecli.evaluation.defenders import check_defender, check_size, grid_of
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.protocol import PRESETS, Protocol, for_net
from ulecli.evaluation.exploiters.registry import find_exploiter
from ulecli.evaluation.field_values import as_meant
from ulecli.evaluation.plugins import Plugin, Registries, load_plugin, registries
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.evaluation.validation import MOST
from ulecli.imaging.upload import Upload
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.opening import BackboneRequest, requests
from ulecli.system.worker_kinds import WorkerKind, check_workers
from ulecli.transforms.views import ViewPolicy
from ulecli.units import DEFAULT_EPSILON, check_epsilon

USUAL_BACKBONE = "efficientnet-lite2"
"""Where none is named: a judge, see `ulecli.nets.backbones.judges`."""

SMALL = 48
"""Pictures up to this side are trained on by the protocol for 32 x 32, larger ones by that for photos."""

EACH = "each"
"""In place of the names of classes: each of them alone in turn."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that one run of `ulecli evaluate` was asked to do.

    Paths may be given as strings, a mix and an upload as the command takes them, and exploiters, nets and
    defenders by value as well, which count as a plugin: after construction all of them are names.

    Attributes:
        exploiters: Names of exploiters, see `ulecli.evaluation.exploiters.registry.FAMILIES`, or what is in
            `by_value.AnyExploiter`.
        defenders: Names of defenders that protect the training set now, see `ulecli.evaluation.defenders`, or
            what is in `by_value.AnyDefender`.
        plugins: What exploiters, defenders and nets are known beside those that ship: files and modules to
            load, or plugins; after construction plugins alone.
        poisons: Files and folders of other people's poisons.
        poison_kind: What the numbers in `poisons` are.
        archs: Names of nets that are trained from scratch, or what is in `by_value.AnyNet`; empty for the
            preset's.
        backbones: Pretrained nets for the exploiters that start from one: names, files, or ARCH=FILE, see
            `ulecli.nets.backbones.opening`; empty for `USUAL_BACKBONE`.
        backbone_size: Side in pixels at which photos are shown to them; 0 for `size` on folders, else for
            their own.
        backbone_normalisation: A key of `ulecli.nets.backbones.backbone.NORMALISATIONS`; "" for their own.
        backbone_layer: Where the features of files are taken; "" for the layer before the classifier.
        preset: A key of `ulecli.evaluation.exploiters.protocol.PRESETS`.
        seeds: Of the exploiters; each is a training of its own.
        dataset: "cifar10", "cifar100", "shapes" or a folder of one folder of photos for each class.
        data_root: Where CIFAR lies; None for the usual place.
        download: Whether CIFAR may be downloaded.
        size: Side in pixels that photos are squeezed to; 0 for the side that the defenders protect, if they
            do only one, else the preset's.
        protected: Photo mode: the copy of `dataset` that `ulecli protect` wrote.
        upload: Photo mode: what a platform did to the files.
        only: Photo mode: the classes that are protected among clean ones, or (`EACH`,) for each of them alone
            in turn; empty for all.
        share: Photo mode with `only`: the share of the photos of these classes that is protected, above 0 and
            at most 1. Which photos, each seed of an exploiter decides anew.
        mix: Percent of the training set that stays clean, and percent that is added protected (the paper's
            Table 4); None for all of it protected.
        train_images: Use this many training images, the same share of each class; 0 for all.
        validation: Share of each class's training images that no exploiter trains on; those with epochs
            measure their accuracy on them, clean, and tell which epoch is best. 0 for none.
        epsilon: L-infinity bound in levels: of defenders and of noise, and what poisons are held to.
        attack_steps: Steps of PGD in adversarial training; 0 for the preset's.
        controls: Train on the clean images and on random noise as well.
        noise: Whether random noise is among the controls.
        out: Where results are kept; None for nowhere.
        pictures: Whether learning curves and a gallery are drawn into `out`.
        resume: Take up what is in `out`.
        device: A torch device, or "auto" for the best there is, which it is after construction.
        jobs: Trainings at the same time, each in a process of its own; 0 for as many as the cores allow.
        threads: CPU threads of all jobs together; 0 for all cores.
        workers: One of `ulecli.system.worker_kinds.WorkerKind`, who does the trainings.
        ray_address: HOST:PORT of the head of a Ray cluster, or "auto" for the one that runs here; "" to start
            one for this evaluation.

    Raises:
        UsageError: a name is unknown, a number out of range, or a single name given where a tuple is meant.
    """

    exploiters: tuple[AnyExploiter, ...] = ("standard", "gray")
    defenders: tuple[AnyDefender, ...] = ()
    plugins: tuple[Plugin | Path | str, ...] = ()
    poisons: tuple[Path, ...] = ()
    poison_kind: PoisonKind = PoisonKind.AUTO
    archs: tuple[AnyNet, ...] = ()
    backbones: tuple[str, ...] = ()
    backbone_size: int = 0
    backbone_normalisation: str = ""
    backbone_layer: str = ""
    preset: str = "quick"
    seeds: tuple[int, ...] = (0,)
    dataset: str = "cifar10"
    data_root: Path | None = None
    download: bool = True
    size: int = 0
    protected: Path | None = None
    upload: Upload = field(default_factory=Upload)
    only: tuple[str, ...] = ()
    share: float = 1.0
    mix: tuple[int, int] | None = None
    train_images: int = 0
    validation: float = 0.0
    epsilon: int = DEFAULT_EPSILON
    attack_steps: int = 0
    controls: bool = True
    noise: bool = True
    out: Path | None = None
    pictures: bool = True
    resume: bool = False
    device: str = "cpu"
    jobs: int = 0
    threads: int = 0
    workers: str = WorkerKind.PROCESSES
    ray_address: str = ""

    def __post_init__(self) -> None:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, value in as_meant(given).items():
            object.__setattr__(self, name, value)
        check_epsilon(self.epsilon)
        if self.preset not in PRESETS:
            raise unknown("preset", self.preset, PRESETS)
        self._take_names()
        for exploiter in self.exploiter_names:
            find_exploiter(exploiter, families=self.known.exploiters)
        for defender in self.defender_names:
            check_defender(defender, self.known.defenders)
        for arch in self.arch_names:
            self.known.nets.find(arch)
        if not self.exploiters or not self.seeds:
            raise UsageError("an evaluation needs at least one exploiter and one seed")
        self._check_backbones()
        counts = (self.train_images, self.attack_steps, self.size, self.jobs, self.threads)
        if min(*self.seeds, *counts) < 0 or max(self.seeds) >= 2**63:
            raise UsageError("seeds and counts are 0 or more, and seeds below 2^63")
        if self.mix is not None and (min(self.mix) < 1 or sum(self.mix) > 100):
            raise UsageError("--mix is CLEAN+ADDED in percent of the training set, for instance 5+30")
        if self.mix is not None and self.train_images:
            raise UsageError("--mix says already how many images are trained on: leave out --train-images")
        self._check_validation()
        check_workers(self.workers, self.ray_address)
        if self.resume and self.out is None:
            raise UsageError("--resume needs --out, the folder to take up")
        self._check_photo_mode()
        if self.dataset not in DATASETS:
            for defender in self.defender_names:
                check_size(defender, self.side, self.side, self.known.defenders)

    def _take_names(self) -> None:
        """Load the plugins, and make one of what is given by value."""
        if isinstance(self.plugins, str | Path | Plugin):
            raise UsageError("plugins is a tuple of files, modules or plugins: ('mine.py',) for one")
        found = tuple(one if isinstance(one, Plugin) else load_plugin(one) for one in self.plugins)
        given = named(
            self.exploiters,
            self.archs,
            self.defenders,
            known=registries(found),
            attack_steps=self.pgd_steps,
        )
        found += (given.plugin,) if given.plugin else ()
        for what in ("exploiters", "archs", "defenders"):
            object.__setattr__(self, what, getattr(given, what))
        object.__setattr__(self, "plugins", found)
        if (self.jobs > 1 or self.workers == WorkerKind.RAY) and not all(one.source for one in found):
            raise UsageError(
                "objects of your own can't go to other processes: take jobs=1, or a plugin in a file"
            )

    def _check_backbones(self) -> None:
        """Refuse options that no exploiter among those that were named has a use for."""
        asked = (self.backbones, self.backbone_size, self.backbone_normalisation, self.backbone_layer)
        starts = [self.measure(name).learner is not None for name in self.exploiter_names]
        if any(asked) and not any(starts):
            raise UsageError(
                "--backbone is for the exploiters probe, finetune and centroid: name one of them"
            )
        if self.archs and starts and all(starts):
            raise UsageError("--arch is for exploiters that train from scratch: take --backbone, or name one")
        if any(starts):
            self.requests  # noqa: B018 - which raises where one can't be

    def _check_validation(self) -> None:
        if not 0 <= self.validation <= MOST:
            raise UsageError(f"--validation {self.validation:g}: write a share from 0 to {MOST}, as 0.02")
        learners = [self.measure(name).learner for name in self.exploiter_names]
        if self.validation and all(one is not None and not one.trains for one in learners):
            raise UsageError(
                "--validation says at which epoch to stop, and none of these exploiters has epochs: name "
                "another, or leave it out"
            )

    def _check_photo_mode(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"--share {self.share:g}: write a number above 0, up to 1, for instance 0.5")
        if self.share < 1 and not self.only:
            raise UsageError("--share belongs to --only, the classes of which a share is protected")
        if EACH in self.only and len(self.only) > 1:
            raise UsageError(f"--only {EACH} protects every class in turn: name no other beside it")
        if self.protected is None:
            if self.only or self.upload != Upload():
                raise UsageError("--only and --upload belong to --protected, the tree that protect wrote")
        elif self.dataset in DATASETS:
            raise UsageError("--protected needs --dataset FOLDER, the photos that were protected")
        elif self.defenders or self.poisons:
            raise UsageError("--protected stands alone: name no --poison and no --defender beside it")

    @property
    def exploiter_names(self) -> tuple[str, ...]:
        """The exploiters, all by name."""
        return tuple(one for one in self.exploiters if isinstance(one, str))

    @property
    def defender_names(self) -> tuple[str, ...]:
        """The defenders, all by name."""
        return tuple(one for one in self.defenders if isinstance(one, str))

    @property
    def arch_names(self) -> tuple[str, ...]:
        """The nets that are trained from scratch, all by name."""
        return tuple(one for one in self.archs if isinstance(one, str))

    @property
    def each(self) -> bool:
        """Whether every class is protected alone in turn."""
        return self.only == (EACH,)

    @property
    def named(self) -> tuple[str, ...]:
        """The classes that are protected together among clean ones; empty for all, or for each in turn."""
        return () if self.each else self.only

    @cached_property
    def requests(self) -> tuple[BackboneRequest, ...]:
        """The pretrained nets that exploiters start from."""
        size = self.backbone_size or (0 if self.dataset in DATASETS else self.size)
        options = BackboneOptions(size, self.backbone_normalisation, self.backbone_layer)
        return requests(self.backbones or (USUAL_BACKBONE,), options)

    @cached_property
    def known(self) -> Registries:
        """What ships and what the plugins define."""
        return registries(self.loaded)

    @property
    def loaded(self) -> tuple[Plugin, ...]:
        """The plugins."""
        return tuple(one for one in self.plugins if isinstance(one, Plugin))

    @property
    def plugin_digests(self) -> list[str]:
        """The name of each plugin's file or module and the sha256 of its code."""
        return [f"{Path(one.source).name or 'objects'} {one.sha256}" for one in self.loaded]

    @property
    def side(self) -> int:
        """Side in pixels of the squares that photos are squeezed to."""
        augment = PRESETS[self.preset].photos.augment
        grid = max((grid_of(name, self.known.defenders) for name in self.defender_names), default=0)
        return self.size or grid or getattr(augment, "sizes", (64,))[0]

    @property
    def pgd_steps(self) -> int:
        """Steps of PGD in adversarial training."""
        return self.attack_steps or PRESETS[self.preset].attack_steps

    @property
    def robust_images(self) -> int:
        """Test images that robust accuracy is measured on, the first ones; 0 for all."""
        return PRESETS[self.preset].robust_images

    def measure(self, exploiter: str) -> Countermeasure:
        """Return what an exploiter does."""
        return find_exploiter(exploiter, attack_steps=self.pgd_steps, families=self.known.exploiters)

    def protocol(self, measure: Countermeasure, arch: str, side: int) -> Protocol:
        """Return how an exploiter trains a net, "" for the preset's, on pictures of a side."""
        preset = PRESETS[self.preset]
        chosen = preset.small if side <= SMALL else preset.photos
        if measure.attack is not None:
            chosen = replace(chosen, **preset.adversarial)
        if isinstance(chosen.augment, ViewPolicy):
            chosen = replace(chosen, augment=replace(chosen.augment, sizes=(side,)))
        if arch and arch != chosen.net:
            chosen = for_net(chosen, arch, {"size": side} if self.known.nets.find(arch).sized else {})
        return chosen

    def fingerprint(self, data_md5: str) -> dict[str, Any]:
        """Return what all results of one folder have in common."""
        kept = ("preset", "dataset", "mix", "train_images", "epsilon", "only", "size")
        return {
            **{name: getattr(self, name) for name in kept},
            "dataset": self.dataset if self.dataset in DATASETS else Path(self.dataset).resolve().name,
            "upload": str(self.upload),
            "data_md5": data_md5,
            **({"validation": self.validation} if self.validation else {}),
            **({"share": self.share} if self.share < 1 else {}),
            **({"plugins": self.plugin_digests} if self.plugins else {}),
        }
