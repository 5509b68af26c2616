"""Defenders that craft a training set by the published algorithms, each on a net of choice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from torch import Tensor

from ulecli.crafting.methods import DEFAULT_SURROGATE, METHODS, Request, craft
from ulecli.crafting.methods import identity as method_identity
from ulecli.data.images import ImageSet
from ulecli.evaluation.order import Defender, Order
from ulecli.nets.registry import NETS

METHOD_OF: Mapping[str, str] = MappingProxyType(
    {f"bilevel-{name}" if method.form else name: name for name, method in METHODS.items()}
)
"""From a defender's name to its method. Plain "uleo" is the amortised form, which keeps no delta."""


def defender(name: str, net: str = DEFAULT_SURROGATE, *, classwise: bool) -> Defender | None:
    """Return a defender by its name, a key of `METHOD_OF`; None if it has no classwise form.

    Raises:
        UsageError: There is no such net.
    """
    NETS.find(net)
    method = METHODS[METHOD_OF[name]]
    if classwise and method.form is None:
        return None
    protect = partial(_protect, method=METHOD_OF[name], net=net, classwise=classwise)
    return Defender(protect, method.words)


def identity(name: str, net: str) -> str:
    """Return what decides a defender's work beside data and bound, in words."""
    return method_identity(METHOD_OF[name], Request(surrogate=net or DEFAULT_SURROGATE))


def _protect(images: ImageSet, order: Order, *, method: str, net: str, classwise: bool) -> Tensor:
    """Craft the chosen images; see `ulecli.evaluation.order.Protect`."""

    def progress(what: str, done: int, total: int, note: str = "") -> None:
        if order.progress is not None:
            order.progress(what, done, total)

    request = Request(
        surrogate=net,
        epsilon=order.epsilon,
        seed=order.seed,
        device=order.device,
        classwise=classwise,
        checkpoints=order.checkpoints,
        progress=progress,
    )
    made = craft(method, images.subset(order.chosen), request)
    order.remarks.extend(made.remarks)
    return made.images.images
