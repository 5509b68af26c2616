"""Recipes of surrogates that are pretrained: a net that knows pictures, taken as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ulecli.perturb.directions import DirectionSettings
from ulecli.perturb.settings import PgdSettings
from ulecli.transforms.views import ViewPolicy


@dataclass(frozen=True)
class FeatureRecipe:
    """What decides a surrogate of pretrained features, apart from the photos that standardise them.

    Attributes:
        purpose: What it is for, in one sentence; goes on the card.
        backbone: Name of the pretrained net among `ulecli.nets.backbones.makers.MAKERS`.
        net: Our own form of it and where its features are, as `ulecli.surrogates.weights.described_net` takes
            it.
        grid: Side S of the square working image, on whose cells delta lives.
        ordinary: What is seen of the photos that standardise the features.
        directions: How the direction of an identity is found.
        protection: PGD on a photo.
        limits: What it is known not to do; goes on the card.
    """

    purpose: str
    backbone: str
    net: Mapping[str, Any]
    grid: int
    ordinary: ViewPolicy
    directions: DirectionSettings
    protection: PgdSettings
    limits: tuple[str, ...] = field(default=())


_SIDE = 96
"""Side in pixels of what the net is shown. At 128 a step takes twice as long."""

FEATURE_RECIPES: Mapping[str, FeatureRecipe] = {
    "photo": FeatureRecipe(
        purpose="protection of photos of anything and anyone, of any size; the default",
        backbone="efficientnet-lite0",
        net={
            "name": "efficientnet-lite0",
            "norm": False,
            "channels": 3,
            "layer": "features",
            "features": 1280,
            "side": _SIDE,
        },
        grid=128,
        ordinary=ViewPolicy(sizes=(_SIDE,), area=(0.25, 1.0)),
        directions=DirectionSettings(),
        protection=PgdSettings(
            steps=8,
            travel=2.0,
            momentum=0.7,
            colour=True,
            augment=ViewPolicy(sizes=(_SIDE,), area=(0.4, 1.0), gray=0.3),
        ),
        limits=(
            "an exploiter who trains on other, unprotected photos of the same person learns from those",
            "made with a net of ImageNet alone: nets made for faces are not moved",
            "nets that are trained from nothing learn the photos nearly as well as unprotected ones",
            "the whole photo is what is moved: a small part that is cut out of it is not measured",
            "not measured against adversarial training, which undoes nearly every published method",
        ),
    )
}
"""The recipes by name; the bundled surrogates bear the names of theirs."""
