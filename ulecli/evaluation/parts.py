"""The parts of an evaluation: exploiters that read the data set at the same size work on the same sets.

Those that train from scratch read photos at one side, and each pretrained net reads them at its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ulecli.data.datasets import DATASETS, Dataset
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import grid_of
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.nets.backbones.opening import BackboneRequest, open_backbone


@dataclass(frozen=True)
class Part:
    """Exploiters that read the data set alike.

    Attributes:
        config: What was asked, with these exploiters alone and the side that they read photos at.
        requests: The pretrained nets that they start from; empty for those that train from scratch.
    """

    config: EvaluateConfig
    requests: tuple[BackboneRequest, ...] = ()

    def seeds(self, measure: Countermeasure, *, drawn: bool) -> Sequence[int]:
        """Return the seeds of an exploiter: one where nothing is drawn, neither by it nor for its sets.

        Args:
            measure: What the exploiter does.
            drawn: Whether each seed has training sets of its own.
        """
        return self.config.seeds if measure.draws or drawn else self.config.seeds[:1]

    def measures(self) -> Iterator[Countermeasure]:
        """Yield what the exploiters do."""
        return map(self.config.measure, self.config.exploiter_names)


@dataclass(frozen=True)
class OpenedPart:
    """A part of an evaluation whose data set is read.

    Attributes:
        part: What was asked.
        data: The clean data set.
        builder: Of the training sets.
    """

    part: Part
    data: Dataset
    builder: TrainingSets

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return self.data.train.images.shape[-1]

    @property
    def image_bytes(self) -> int:
        """Bytes that the images of a training set take."""
        return self.builder.count * self.data.train.images[0].numel()


def parts_of(config: EvaluateConfig) -> list[Part]:
    """Return the parts of an evaluation, training from scratch first; every backbone is opened.

    Raises:
        UleError: A backbone can't be used, or not by an exploiter that trains it.
    """
    scratch = tuple(name for name in config.exploiter_names if config.measure(name).learner is None)
    transfer = tuple(name for name in config.exploiter_names if name not in scratch)
    found = []
    if scratch:
        own = replace(
            config,
            exploiters=scratch,
            backbones=(),
            backbone_size=0,
            backbone_normalisation="",
            backbone_layer="",
        )
        found.append(Part(own))
    sides: dict[int, list[BackboneRequest]] = {}
    for request in config.requests if transfer else ():
        backbone = open_backbone(request)
        for learner in filter(None, (config.measure(name).learner for name in transfer)):
            if learner.trains:
                backbone.check_trainable()
        side = backbone.preprocessing.size if _has_any_size(config) else config.size
        sides.setdefault(side, []).append(request)
    for side, requests in sides.items():
        own = replace(config, exploiters=transfer, archs=(), size=side)
        found.append(Part(own, tuple(requests)))
    return found


def _has_any_size(config: EvaluateConfig) -> bool:
    """Return whether the pictures can be read at any size: neither they nor what protects them has one."""
    grids = any(grid_of(name, config.known.defenders) for name in config.defender_names)
    return config.dataset not in DATASETS and not grids and not config.poisons
