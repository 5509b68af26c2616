"""Recipes: everything that decides what a surrogate becomes, apart from data and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from ulecli.errors import UsageError
from ulecli.perturb.settings import PgdSettings
from ulecli.views import ViewPolicy


@dataclass(frozen=True)
class Recipe:
    """How a surrogate is trained and how it protects afterwards.

    Attributes:
        purpose: What it is for, in one sentence; goes on the card.
        net: Name of the net and its settings, without `channels` and `classes`.
        grid: Side S of the square working image, on whose cells delta lives.
        codes: Number K of codes that the surrogate tells apart, for images whose classes nobody knows; the
            labels it learns first are those of K groups of alike images. 0 takes the classes of the data set.
        source: Aug(x): what stored images go through before delta is added; its one size is `grid`.
        guided: Share of the training at whose end random labels set in, 0 to 1.
        random_labels: Share of later batches whose labels are drawn at random, so that only delta can tell
            the surrogate what they are.
        mosaic: Share of the random batches whose images are tiled.
        training: PGD inside the training loop.
        protection: PGD of the frozen surrogate.
        batches: Number of training steps.
        batch_size: Images per step.
        rate: Peak learning rate of SGD with Nesterov momentum 0.9; warms up linearly over a fifth of the
            steps and falls linearly to 0.
        decay: Weight decay.
        epsilon: L-infinity bound in levels at the end of training, and what the card's effect is for.
        first_epsilon: Bound at the first step; it falls linearly to `epsilon` over half of the training. A
            large bound makes codes easy to tell apart at the start, when the net knows none of them.
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
    codes: int = 0
    guided: float = 1.0
    random_labels: float = 0.0
    mosaic: float = 0.0
    decay: float = 5e-4
    epsilon: int = 8
    first_epsilon: float = 8.0
    limits: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.source.sizes != (self.grid,):
            raise UsageError(f"the source makes images of {self.source.sizes}, but the grid is {self.grid}")
        if self.training.gray is not self.protection.gray:
            raise UsageError("training and protection must both be gray or both RGB")
        shares = (self.guided, self.random_labels, self.mosaic)
        if not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"guided, random_labels and mosaic are {shares}, but are shares of 1")
        if min(self.batches, self.batch_size) < 1:
            raise UsageError("training needs at least one batch of at least one image")

    def to_card(self) -> dict[str, Any]:
        """Return what the card tells of the protocol: all but what stands elsewhere on it."""
        entries = asdict(self)
        for elsewhere in ("purpose", "net", "limits"):
            del entries[elsewhere]
        return entries


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no recipe {name!r}, only {', '.join(RECIPES)}{hint}")
    return RECIPES[name]


_PADDED_CROP = ViewPolicy(sizes=(32,), shift=4)
"""The standard augmentation of CIFAR-10: a random crop after padding by 4, and a flip."""

_CIFAR_LIMITS = (
    "made for CIFAR-10 at 32 x 32 and its classes; on photos use the surrogate 'photo'",
    "adversarial training at the same epsilon undoes it, as it does every published shortcut",
)

_ONE_PATTERN = (
    *_CIFAR_LIMITS,
    "2-bit posterising and JPEG at quality 10 undo it; its delta is nearly one pattern for each class",
)

_COUNTERMEASURES = ViewPolicy(sizes=(32,), shift=4, jpeg=0.45, quality=(10, 30), posterize=0.25, bits=2)
"""What a reactive exploiter does to CIFAR-10: stores it badly on purpose, then crops and flips."""

RECIPES: dict[str, Recipe] = {
    "cifar": Recipe(
        purpose="protection of CIFAR-10 that survives gray, 2-bit posterising and JPEG at quality 10",
        net={"name": "conv", "stem": 16, "widths": (16, 32, 64)},
        grid=32,
        source=_PADDED_CROP,
        training=PgdSettings(steps=5, momentum=0.8, random_start=True, augment=_COUNTERMEASURES),
        protection=PgdSettings(
            steps=15, momentum=0.8, augment=replace(_COUNTERMEASURES, jpeg=0.6, posterize=0.2)
        ),
        batches=700,
        batch_size=192,
        rate=0.08,
        guided=0.65,
        random_labels=0.7,
        limits=_CIFAR_LIMITS,
    ),
    "cifar-linear": Recipe(
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
    ),
    "cifar-mlp": Recipe(
        purpose="the paper's fast alternative to a convolutional surrogate, for CIFAR-10",
        net={"name": "mlp"},
        grid=32,
        source=_PADDED_CROP,
        training=PgdSettings(steps=5, momentum=0.0, random_start=True, augment=None),
        protection=PgdSettings(steps=10, momentum=0.0, augment=None),
        batches=400,
        batch_size=256,
        rate=0.02,
        limits=_ONE_PATTERN,
    ),
}
"""The recipes by name; the bundled surrogates are those that bear the same names."""
