"""What one training of an exploiter gave. Standard library only."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, NamedTuple

SCHEMA = 1
"""Version of the JSON objects; it grows when a field changes its meaning or goes."""

CLEAN = "clean"
"""The poison that is none: what the exploiter gets without protection."""

CLEAN_SHARE = "clean-share"
"""In a mix, the clean images that protected ones are added to, alone; `CLEAN` then has as many clean images
in place of the protected, so that a protection is worth what it takes from the distance between the two."""

NOISE = "noise"
"""The poison that learns nothing: random signs at the bound. On images that are trained on as they are
stored, such as CIFAR's, its mean change is the bound itself, so no protection within it changes them more."""

NOISE_MEAN = "noise-mean"
"""In photo mode, random signs scaled so that photos change as much on average as the protected ones do, both
measured on what the exploiter reads: the fair control, since storing and squeezing weaken noise and
protection unequally."""

BANDS = ("band-10-30", "band-24-56")
"""In photo mode, noise of a band of frequencies, in cycles per shorter side, that is as plain to see in each
photo as its protection: what a protection has to beat."""

CONTROLS = (CLEAN, CLEAN_SHARE, NOISE, NOISE_MEAN, *BANDS)
"""Poisons that protect nothing, in the order in which they stand in tables."""

PROTECTED = "protected"
"""First word of the poison that is photos which `ulecli protect` wrote; the rest says which of them."""

SHARE = "share"
"""Where an audit holds the share of the photos of the chosen classes that were changed, if it was not all."""

LABELS_DIFFER = "labels_differ"
"""Where an audit holds the share of the labels beside a poison that are not the data set's."""


class Cell(NamedTuple):
    """An `Arm` without its seed: runs of one cell differ by chance alone.

    Attributes:
        dataset: Name of the data set.
        poison: What was done to the training images; `CLEAN` and `NOISE` are the controls.
        exploiter: Name of the exploiter's countermeasure.
        arch: Name of the net.
        preset: Name of the training protocol.
    """

    dataset: str
    poison: str
    exploiter: str
    arch: str
    preset: str


@dataclass(frozen=True, order=True)
class Arm:
    """One arm of the trial: what was done to the training images, by whom they were exploited, and how.

    The attributes are those of `Cell`, and the seed.
    """

    dataset: str
    poison: str
    exploiter: str
    arch: str
    preset: str
    seed: int

    @property
    def cell(self) -> Cell:
        """The arm without its seed."""
        return Cell(self.dataset, self.poison, self.exploiter, self.arch, self.preset)


class Curve:
    """What a training is worth by its test accuracies after each epoch."""

    test_accuracies: tuple[float, ...]
    validation_accuracies: tuple[float, ...]

    @property
    def last(self) -> float:
        """Test accuracy of the finished net."""
        return self.test_accuracies[-1]

    @property
    def peak(self) -> float:
        """Best test accuracy after any epoch, which an exploiter with a clean validation set would find."""
        return max(self.test_accuracies)

    @property
    def stopped(self) -> float | None:
        """Test accuracy after the first epoch that is best on validation images; None without any."""
        if not self.validation_accuracies:
            return None
        return self.test_accuracies[self.validation_accuracies.index(max(self.validation_accuracies))]


@dataclass(frozen=True)
class RunRecord(Curve):
    """One training of an exploiter: all that went in and what came out. Accuracies are percent, 0 to 100.

    Sequences become tuples and mappings plain dicts of what JSON can hold (numbers that are not finite become
    None), so that a record which is written and read again equals itself.

    Attributes:
        arm: What distinguishes this run from the others.
        config: The exploiter's whole configuration.
        data_md5: Digest of the data set.
        train_md5: Digest of the very images that were trained on.
        audit: What was found out about the poison; None for a run without one.
        n_train: Number of training images.
        n_test: Number of test images.
        classes: Names of the classes, in the order of labels; two or more.
        train_accuracies: On the training images as each epoch met them.
        test_accuracies: On the test set after each epoch.
        recalls: Share of each class's test images that the finished net recognises; empty if not measured.
        robust: Accuracy of the finished net by attack ("fgsm", "pgd-20"); empty if not measured.
        seconds: Wall-clock time of the run.
        device: What did the work, in words.
        deterministic: The number of CPU threads of a training with which the same seeds give the same
            figures; 0 if none does. True in records of earlier versions, which did not say for how many.
        versions: Version of every package that had a say, by name.
        warnings: What the self-checks found.
        epsilon: L-infinity bound of the poison, in levels; 0 for clean images.
        n_validation: Number of clean images that the exploiter validated on. Records of earlier versions lack
            it and the next, and have none.
        validation_accuracies: On these after each epoch; empty where nothing was validated.

    Raises:
        ValueError: A figure is no percentage, or the parts don't fit together.
    """

    arm: Arm
    config: Mapping[str, Any]
    data_md5: str
    train_md5: str
    audit: Mapping[str, Any] | None
    n_train: int
    n_test: int
    classes: tuple[str, ...]
    train_accuracies: tuple[float, ...]
    test_accuracies: tuple[float, ...]
    recalls: tuple[float, ...]
    robust: Mapping[str, float]
    seconds: float
    device: str
    deterministic: int
    versions: Mapping[str, str]
    warnings: tuple[str, ...]
    epsilon: int
    n_validation: int = 0
    validation_accuracies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "warnings"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("config", "audit", "robust", "versions"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        for name in ("train_accuracies", "test_accuracies", "recalls", "validation_accuracies"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        curves = (*self.train_accuracies, *self.test_accuracies, *self.recalls, *self.validation_accuracies)
        if not all(0 <= float(one) <= 100 for one in (*curves, *self.robust.values())):
            raise ValueError("an accuracy, a recall or a robust accuracy is no percentage from 0 to 100")
        if not self.test_accuracies or len(self.train_accuracies) != len(self.test_accuracies):
            raise ValueError("training and test accuracies are not one each for every epoch")
        if len(self.validation_accuracies) not in (0, len(self.test_accuracies)):
            raise ValueError("validation accuracies are not one for every epoch")
        if len(self.classes) < 2 or len(self.recalls) not in (0, len(self.classes)):
            raise ValueError("there are fewer than two classes, or recalls that are not one for each class")
        if not math.isfinite(self.seconds):
            raise ValueError(f"a run can't take {self.seconds} seconds")

    @property
    def train(self) -> float:
        """Training accuracy of the last epoch."""
        return self.train_accuracies[-1]

    @property
    def chance(self) -> float:
        """What guessing gives."""
        return 100 / len(self.classes)

    @property
    def key(self) -> str:
        """The key of this run; see `run_key`."""
        return run_key(self.arm, self.config, self.train_md5, self.data_md5)

    def to_json(self) -> dict[str, Any]:
        """Return the record as an object for JSON, without NaN or infinity."""
        values: dict[str, Any] = plain(asdict(self))
        return {"schema": SCHEMA, **values}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> RunRecord:
        """Return the record that `to_json` gave.

        Raises:
            ValueError: The object has another schema, lacks a field or holds a wrong one.
        """
        if entry.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {entry.get('schema')!r}, and this ulecli reads {SCHEMA}")
        try:
            values = {
                one.name: entry[one.name]
                for one in fields(cls)
                if one.name in entry or one.default is MISSING
            }
            return cls(**{**values, "arm": Arm(**values["arm"])})
        except KeyError as error:
            raise ValueError(f"it lacks {error}") from error
        except (AttributeError, TypeError) as error:
            raise ValueError(f"a field holds what it can't hold: {error}") from error


def plain(value: Any) -> Any:
    """Return a value as JSON would give it back: dicts, lists, and None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def run_key(arm: Arm, config: Mapping[str, Any], train_md5: str, data_md5: str) -> str:
    """Return what two runs share only if they are the same run: the sha256 of all that decides a result."""
    values = plain({"arm": asdict(arm), "config": config, "train_md5": train_md5, "data_md5": data_md5})
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()
