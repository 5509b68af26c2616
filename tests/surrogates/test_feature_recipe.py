from __future__ import annotations

import pytest

from ulecli.nets.backbones.makers import MAKERS
from ulecli.perturb.directions import DirectionSettings
from ulecli.perturb.settings import PgdSettings
from ulecli.surrogates import store
from ulecli.surrogates.feature_recipe import FEATURE_RECIPES
from ulecli.surrogates.recipe import RECIPES
from ulecli.surrogates.weights import FEATURE, described_net


@pytest.mark.parametrize("name", FEATURE_RECIPES)
def test_a_recipe_fits_together(name: str) -> None:
    recipe = FEATURE_RECIPES[name]
    assert recipe.backbone in MAKERS and recipe.limits
    side = recipe.net["side"]
    assert recipe.ordinary.sizes == (side,)
    assert recipe.protection.augment is not None and recipe.protection.augment.sizes == (side,)
    assert recipe.protection.channels == recipe.net["channels"]
    net = described_net(recipe.net)
    assert list(dict(net.named_children())) == [recipe.net["layer"], FEATURE]
    assert net.get_submodule(FEATURE).deviations.shape == (recipe.net["features"],)


def test_no_two_recipes_share_a_name() -> None:
    assert not FEATURE_RECIPES.keys() & RECIPES.keys()


@pytest.mark.parametrize("name", FEATURE_RECIPES)
def test_what_is_bundled_was_made_by_its_recipe(name: str) -> None:
    recipe, card = FEATURE_RECIPES[name], store.load_card(name)
    assert card.net == dict(recipe.net) and card.protocol["grid"] == recipe.grid
    assert PgdSettings.from_card(card.protocol["pgd"]) == recipe.protection
    assert DirectionSettings.from_card(card.protocol["directions"]) == recipe.directions
    assert (card.purpose, card.limits) == (recipe.purpose, recipe.limits)
    assert card.protocol["made_by"]["backbone"] == recipe.backbone
