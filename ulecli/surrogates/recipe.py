"""Recipes: everything that decides what a surrogate becomes, apart from data and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ulecli.errors import UsageError, unknown
from ulecli.perturb.settings import PgdSettings
from ulecli.transforms.views import ViewPolicy


@dataclass(frozen=True)
class Recipe:
    """How a surrogate is trained and how it protects afterwards.

    Attributes:
        purpose: What it is for, in one sentence; goes on the card.
        net: Name of the net and its settings, without `channels` and `classes`.
        grid: Side S of the square working image, on whose cells delta lives.
        guided: Share of the training whose labels are the classes of the data set, 0 to 1. What a net
            learns for them are features that natural images have in varying strength, which is what a good
            cue is made of; from random labels alone, a fresh net takes thousands of steps to find any.
        random_labels: Share of the later batches whose labels are drawn at random, so that only delta can
            show the surrogate what they are: codes instead of classes.
        training: PGD inside the training loop.
        protection: PGD of the frozen surrogate.
        batches: Number of training steps.
        batch_size: Images per step.
        rate: Peak learning rate of SGD with Nesterov momentum 0.9; warms up linearly over a fifth of the
            steps and falls linearly to 0.
        decay: Weight decay.
        epsilon: L-infinity bound in levels at the end of training, and what the card's effect is for.
        first_epsilon: Bound at the first step; it falls linearly to `epsilon` over half of the training. A
            large bound makes codes easy to distinguish at the start, when the net knows none of them.
        limits: What it is known not to do; goes on the card.

    Raises:
        UsageError: the parts don't fit together.
    """

    purpose: str
    net: Mapping[str, Any]
    grid: int
    source: ViewPolicy
    training: PgdSettings
    protection: PgdSettings
    batches: int
    batch_size: int
    rate: float
    guided: float = 1.0
    random_labels: float = 0.0
    decay: float = 5e-4
    epsilon: int = 8
    first_epsilon: float = 8.0
    limits: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.source.sizes != (self.grid,):
            raise UsageError(f"the source makes images of {self.source.sizes}, but the grid is {self.grid}")
        if self.training.gray is not self.protection.gray:
            raise UsageError("training and protection must both be gray or both RGB")
        shares = (self.guided, self.random_labels)
        if not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"guided and random_labels are {shares}, but are shares of 1")
        if min(self.batches, self.batch_size) < 1:
            raise UsageError("training needs at least one batch and one image in it")

    def to_card(self) -> dict[str, Any]:
        """Return what the card says of the protocol: all but what stands elsewhere on it."""
        entries = asdict(self)
        for elsewhere in ("purpose", "net", "limits"):
            del entries[elsewhere]
        return entries


ON = "@"
"""Between the names of a recipe and of the net that shall be its surrogate: "uleo-grayaugs@resnet18"."""


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`, or with `ON` and the name of a net behind it, the recipe on that net.

    Raises:
        UsageError: there is no such recipe or net; the message lists those there are.
    """
    stem, on, net = name.partition(ON)
    if stem not in RECIPES:
        raise unknown("recipe", stem, RECIPES)
    if not on:
        return RECIPES[stem]
    from ulecli.nets.registry import NETS  # which needs torch, and photos are protected without it

    NETS.find(net)
    return replace(RECIPES[stem], net={"name": net})


_PADDED_CROP = ViewPolicy(sizes=(32,), shift=4)
"""The standard augmentation of CIFAR-10: a random crop after padding by 4, and a flip."""

_CIFAR_LIMITS = (
    "made for CIFAR-10 at 32 x 32 and its classes; on photos use the surrogate 'photo'",
    "adversarial training at the same epsilon undoes it, as it does nearly every published method",
)

_ONE_PATTERN = (
    *_CIFAR_LIMITS,
    "2-bit posterising and JPEG at quality 10 undo it; its delta is nearly one pattern for each class",
)

_COUNTERMEASURES = ViewPolicy(sizes=(32,), shift=4, jpeg=0.45, quality=(10, 30), posterize=0.25, bits=2)
"""What a reactive exploiter does to CIFAR-10: stores it badly on purpose, then crops and flips."""

_LINEAR = Recipe(
    purpose="fast protection of CIFAR-10 against exploiters without countermeasures but gray",
    net={"name": "linear"},
    grid=32,
    source=_PADDED_CROP,
    training=PgdSettings(steps=5, momentum=0.0, random_start=True, augment=None),
    protection=PgdSettings(steps=10, momentum=0.0, augment=None),
    batches=400,
    batch_size=256,
    rate=0.03,
    limits=_ONE_PATTERN,
)

_WHOLE = ViewPolicy(sizes=(32,), area=(1.0, 1.0), ratio=1.0, flip=0.0)
"""The image as it is."""


def _form(gray: bool, augment: ViewPolicy | None) -> Recipe:
    """Return one of the four forms of the paper's Table 2, on a small convolutional net.

    As in the published code delta starts at zero and the surrogate learns little: a few thousand images. With
    random starts and five times the training, ULEO too holds in gray, and would be another method.
    """
    inner = PgdSettings(steps=5, momentum=0.0, gray=gray, augment=augment)
    return Recipe(
        purpose=f"{inner.variant} of the paper, to compare with; CIFAR-10",
        net={"name": "conv", "stem": 16, "widths": (16, 32, 64)},
        grid=32,
        source=_WHOLE,
        training=inner,
        protection=replace(inner, steps=10),
        batches=40,
        batch_size=192,
        rate=0.08,
        limits=_CIFAR_LIMITS,
    )


_RGB = PgdSettings(steps=5, momentum=0.0, random_start=True, gray=False, augment=None)

RECIPES: dict[str, Recipe] = {
    "cifar": Recipe(
        purpose="protection of CIFAR-10 that survives gray, 2-bit posterising and JPEG at quality 10",
        # Half the size costs a third of the time. What it sees less of, fine detail, JPEG drops anyway.
        net={"name": "conv", "stem": 16, "widths": (32, 64), "halved": True},
        grid=32,
        source=_PADDED_CROP,
        training=PgdSettings(steps=5, momentum=0.8, random_start=True, augment=_COUNTERMEASURES),
        protection=PgdSettings(
            steps=6,
            momentum=0.8,
            saturate=True,
            augment=replace(_COUNTERMEASURES, jpeg=0.6, posterize=0.2),
            jpeg_weights=10,
        ),
        batches=700,
        batch_size=192,
        rate=0.08,
        guided=0.65,
        random_labels=0.7,
        limits=_CIFAR_LIMITS,
    ),
    "cifar-linear": _LINEAR,
    "cifar-mlp": replace(
        _LINEAR,
        purpose="the paper's fast alternative to a convolutional surrogate, for CIFAR-10",
        net={"name": "mlp"},
        rate=0.02,
    ),
    "uleo": _form(gray=False, augment=None),
    "uleo-augs": _form(gray=False, augment=_PADDED_CROP),
    "uleo-grays": _form(gray=True, augment=None),
    "uleo-grayaugs": _form(gray=True, augment=_PADDED_CROP),
    "uleo-linear": replace(
        _LINEAR,
        purpose="ULEO in free RGB from a linear surrogate, to compare with; CIFAR-10",
        training=_RGB,
        protection=replace(_RGB, steps=10, random_start=False),
    ),
    "uleo-mlp": replace(
        _LINEAR,
        purpose="ULEO in free RGB from the paper's MLP (Table 6), to compare with; CIFAR-10",
        net={"name": "mlp"},
        training=_RGB,
        protection=replace(_RGB, steps=10, random_start=False),
        rate=0.02,
    ),
}
"""The recipes by name. The bundled surrogates bear the names of theirs; the forms of ULEO are not bundled and
trained where they are asked for."""
