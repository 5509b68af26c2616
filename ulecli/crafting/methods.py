"""The methods by name: who makes a poison of a whole clean training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ulecli.crafting.adversarial import (
    BATCH,
    DECAY,
    EPOCHS,
    MOMENTUM,
    RATE,
    attack,
    away_from_class,
    next_class,
    trained_net,
)
from ulecli.crafting.bilevel import Bilevel
from ulecli.crafting.settings import BilevelSettings
from ulecli.crafting.storage import whole_levels
from ulecli.data.images import ImageSet
from ulecli.errors import UsageError
from ulecli.nets.registry import NETS
from ulecli.perturb.sets import set_delta
from ulecli.registry import Registry
from ulecli.units import DEFAULT_EPSILON, check_epsilon

DEFAULT_SURROGATE = "conv"
"""The small convolutional net: the one that a CPU does the whole loop with in less than an hour."""

RATES: Mapping[str, float] = {"linear": 0.03, "mlp": 0.05, "conv": 0.08}
"""Learning rates of surrogates in the loop for which the published 0.1 is too much."""


class Progress(Protocol):
    """Takes note of a part of the work."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """So much of a part is done, of so much; `note` says what else is known, in words."""


@dataclass(frozen=True)
class Request:
    """What shall be crafted.

    Attributes:
        surrogate: The net that it is made with, a key of `ulecli.nets.registry.NETS`.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        device: A torch device.
        classwise: One perturbation for all images of a class.
        as_published: Run the loop and store the images as the published code does, to compare with it.
        changes: Fields of `BilevelSettings` to take other than the usual ones.
        checkpoints: Folder where interrupted work is taken up, left for the caller to delete; None for none.
        progress: Called now and then; None for nobody.
    """

    surrogate: str = DEFAULT_SURROGATE
    epsilon: int = DEFAULT_EPSILON
    seed: int = 0
    device: str = "cpu"
    classwise: bool = False
    as_published: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Path | None = None
    progress: Progress | None = None

    def report(self, what: str, done: int, total: int, note: str = "") -> None:
        """Pass on how far something is."""
        if self.progress is not None:
            self.progress(what, done, total, note)


@dataclass(frozen=True, eq=False)
class Poison:
    """What was crafted.

    Attributes:
        images: What is stored of the training set, in its order and with its labels.
        errors: Of a bi-level loop: the surrogate's error after each round, 0 to 1.
        settings: Of the loop or of PGD, as JSON has them.
        remarks: What the user should know, one line each.
    """

    images: ImageSet
    errors: tuple[float, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A way to make a poison: the bi-level loop in one of its forms, or PGD on a clean-trained net.

    Attributes:
        words: What it is, in a line.
        form: Of the loop: whether it is gray, and whether it augments.
        targets: Of PGD: from labels (N,) and the number of classes to what the net's loss is of.
    """

    words: str
    form: tuple[bool, bool] | None = None
    targets: Callable[[Tensor, int], Tensor] | None = None


METHODS: Registry[Method] = Registry(
    "method",
    {
        "uleo": Method("ULEO by Algorithm 1: free RGB", form=(False, False)),
        "uleo-augs": Method("ULEO-Augs: free RGB, the clean images augmented", form=(False, True)),
        "uleo-grays": Method("ULEO-Grays: tied across RGB, on gray images", form=(True, False)),
        "uleo-grayaugs": Method(
            "ULEO-GrayAugs: tied across RGB, on gray images that are augmented", form=(True, True)
        ),
        "advpois": Method(
            "AdvPois (Fowl et al. 2021): to a clean-trained net each image looks like the next class",
            targets=next_class,
        ),
        "error-max": Method(
            "error-maximising: to a clean-trained net each image looks like any other class",
            targets=away_from_class,
        ),
    },
)
"""By name. Random noise is the control `noise` of `ulecli evaluate`."""


def craft(name: str, images: ImageSet, request: Request) -> Poison:
    """Make a poison of a training set.

    Args:
        name: A key of `METHODS`.
        images: The clean training set.
        request: How.

    Raises:
        UsageError: As of `check_request`, or there are fewer than two classes.
        DeviceUnavailable: torch can't use the device.
        TargetError: A checkpoint can't be written.
    """
    check_request(name, request)
    if (targets := METHODS[name].targets) is not None:
        return _by_attack(images, targets, request)
    return _by_loop(images, loop_settings(name, request), request)


def check_request(name: str, request: Request) -> None:
    """Refuse what can't be crafted of any images, before work begins.

    Raises:
        UsageError: There is no such method, net or bound, or the method has no such setting.
    """
    method = METHODS.find(name)
    NETS.find(request.surrogate)
    check_epsilon(request.epsilon)
    if method.form or request.classwise or request.as_published or request.changes:
        loop_settings(name, request)


def loop_settings(name: str, request: Request) -> BilevelSettings:
    """Return the settings of the loop for a method and request.

    Raises:
        UsageError: The method is no loop, or a change is out of its range.
    """
    form = METHODS.find(name).form
    if form is None:
        raise UsageError(
            f"'{name}' is no bi-level loop: class-wise, as published and settings of the loop are for the "
            "forms of ULEO"
        )
    usual: dict[str, Any] = {"classwise": request.classwise}
    if (rate := RATES.get(request.surrogate)) is not None:
        usual["rate"] = rate
    settings = BilevelSettings(*form, **(usual | dict(request.changes)))
    return settings.as_published() if request.as_published else settings


def identity(name: str, request: Request) -> str:
    """Return all that decides a poison beside images, bound, seed, device and versions, in words."""
    loop = METHODS.find(name).form is not None
    settings = loop_settings(name, request) if loop else (attack(32), EPOCHS, BATCH, RATE, MOMENTUM, DECAY)
    return f"{name} on {request.surrogate} {settings!r} published {request.as_published}"


def _by_loop(images: ImageSet, settings: BilevelSettings, request: Request) -> Poison:
    run = Bilevel(
        images,
        settings,
        net=request.surrogate,
        epsilon=request.epsilon,
        seed=request.seed,
        device=request.device,
    )

    def report(number: int, done: int, error: float) -> None:
        words = f"round {number} of at most {settings.rounds}"
        request.report(words, done, len(images), f"surrogate's error {error:.1%}")

    checkpoint = None if request.checkpoints is None else request.checkpoints / "bilevel.checkpoint"
    made = run.run(checkpoint, report)
    remarks = () if made.converged else (_not_converged(settings, made.errors[-1]),)
    levels = whole_levels(made.delta, published=request.as_published)
    images = images.plus(levels, images.labels if settings.classwise else None)
    return Poison(images, made.errors, settings.to_card(), remarks)


def _not_converged(settings: BilevelSettings, error: float) -> str:
    return (
        f"the loop ended at its most rounds, {settings.rounds}, where the surrogate still errs on "
        f"{error:.1%} of the images instead of {settings.stop_error:.1%}"
    )


def _by_attack(images: ImageSet, targets: Callable[[Tensor, int], Tensor], request: Request) -> Poison:
    net = trained_net(
        request.surrogate,
        images,
        seed=request.seed,
        device=request.device,
        progress=lambda done, total: request.report("training on clean images", done, total),
    )
    settings = attack(images.images.shape[-1])
    delta = set_delta(
        net,
        images.images,
        targets(images.labels, len(images.classes)),
        settings,
        epsilon=request.epsilon,
        seed=request.seed,
        device=request.device,
        parts=None if request.checkpoints is None else request.checkpoints / "protecting",
        progress=lambda done: request.report("protecting", done, len(images)),
    )
    return Poison(images.plus(delta), settings=settings.to_card())
