"""A surrogate's torch net, from its card and its verified weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from safetensors.torch import load
from torch import nn

from ulecli.errors import ModelError
from ulecli.nets.layers import Deviations
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.surrogates.store import load_card, verified_bytes

FEATURE = "deviations"
"""Name of the layer that returns the standardised features of a net that has some."""


def described_net(entries: Mapping[str, Any]) -> nn.Sequential:
    """Build the net that a card describes, with freshly drawn weights.

    Args:
        entries: The `net` of a card: its name and settings. With `layer` the net ends with that layer, and
            its `features` are standardised by the last one, which is called `FEATURE`; `side` is that of the
            pictures it is shown.

    Raises:
        UsageError: There is no such net.
    """
    settings = dict(entries)
    layer, features = settings.pop("layer", None), settings.pop("features", 0)
    settings.pop("side", None)
    if layer is None:
        return make_net(settings.pop("name"), **settings)
    whole = make_net(settings.pop("name"), classes=1, **settings)
    return nn.Sequential(OrderedDict({layer: whole.get_submodule(layer), FEATURE: Deviations(features)}))


def load_net(name: str) -> nn.Sequential:
    """Return the frozen net of the surrogate `name`, in evaluation mode, on the CPU.

    Args:
        name: Of the surrogate.

    Raises:
        ModelError: the surrogate is unknown, damaged or changed, or its weights don't fit its net.
    """
    card = load_card(name)
    stored = load(verified_bytes(name, ".safetensors"))
    weights = {key.removeprefix("0."): value for key, value in stored.items()}  # the number of the net
    with seeded(0):  # the weights that are drawn are replaced, and nobody else's draws shall be others for it
        net = described_net(card.net)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"the weights of '{name}' don't fit the net on its card ({error}); reinstall ulecli"
        ) from error
    return net.eval().requires_grad_(False)
