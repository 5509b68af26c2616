"""A surrogate's torch net, from its card and its verified weights."""

from __future__ import annotations

from safetensors.torch import load
from torch import nn

from ulecli.errors import ModelError
from ulecli.nets.registry import make_net
from ulecli.surrogates.store import load_card, verified_bytes


def load_net(name: str, family: int = 0) -> nn.Sequential:
    """Return a frozen net of the surrogate `name`, in evaluation mode, on the CPU.

    Args:
        name: Of the surrogate.
        family: Which of its nets, 0 where there is only one.

    Raises:
        ModelError: the surrogate is unknown, damaged or changed, or its weights don't fit its net.
    """
    card = load_card(name)
    prefix = f"{family}."
    stored = load(verified_bytes(name, ".safetensors"))
    weights = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    if not weights:
        families = len({key.partition(".")[0] for key in stored})
        raise ModelError(
            f"'{name}' has {families} nets, numbered from 0, and none is {family}; see ulecli surrogate show "
            f"{name}"
        )
    settings = dict(card.net)
    net = make_net(settings.pop("name"), **settings)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"the weights of '{name}' don't fit the net on its card ({error}); reinstall ulecli"
        ) from error
    return net.eval().requires_grad_(False)
