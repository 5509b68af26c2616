"""The ways in which an exploiter learns: a protocol for each net, or a learner for each pretrained one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from ulecli.evaluation.exploiters.countermeasure import WHITENING, Countermeasure
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.parts import Part
from ulecli.nets.backbones.opening import BackboneRequest, open_backbone


@dataclass(frozen=True)
class Way:
    """How an exploiter learns.

    Attributes:
        net: What tables call the net.
        settings: All that decides what comes out, for records.
        epochs: Passes over the training set.
        protocol: How the net is trained; None where it is a pretrained one.
        backbone: The pretrained net; None where one is trained from scratch.
    """

    net: str
    settings: dict[str, Any]
    epochs: int
    protocol: Protocol | None = None
    backbone: BackboneRequest | None = None


def ways(part: Part, measure: Countermeasure, side: int) -> Iterator[Way]:
    """Yield the ways of an exploiter of a part.

    Args:
        part: What was asked.
        measure: What the exploiter does.
        side: Of the pictures, in pixels.
    """
    config = part.config
    common: dict[str, Any] = {"exploiter": measure.name}
    if config.plugins:
        common["plugins"] = config.plugin_digests
    if config.validation:
        common["validation"] = config.validation
    if measure.learner is not None:
        learner = _described(measure.learner)
        for request in part.requests:
            found = {"backbone": open_backbone(request).described(), "learner": learner}
            yield Way(request.label, {**found, **common}, measure.learner.epochs, backbone=request)
        return
    if measure.whitening != WHITENING:
        common["whitening"] = measure.whitening
    if measure.attack is not None:
        common["attack"] = _described(measure.attack)
        common["robust_images"] = config.robust_images
    for arch in config.arch_names or ("",):
        protocol = config.protocol(measure, arch, side)
        yield Way(protocol.net, {**asdict(protocol), **common}, protocol.epochs, protocol)


def _described(part: object) -> dict[str, Any]:
    """Return what a record can hold of an attack or a learner: its name and its settings."""
    if is_dataclass(part) and not isinstance(part, type):
        return {"name": type(part).__name__, **asdict(part)}
    settings = getattr(part, "__dict__", {})
    plain = {name: value for name, value in settings.items() if isinstance(value, bool | int | float | str)}
    return {"name": type(part).__name__, **plain}
