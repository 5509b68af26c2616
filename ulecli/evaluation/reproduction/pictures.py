"""The learning curves of a reproduction, and galleries of what each defender did to the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ulecli.evaluation.reproduction.plan import Group
from ulecli.evaluation.reproduction.running import Reproduction
from ulecli.evaluation.results.plots import curves, gallery
from ulecli.evaluation.run import open_data
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.system.writing import writing_to

SHOWN = 8
"""Images in a gallery, each of another class where there are as many."""


@dataclass(frozen=True)
class Picture:
    """A picture in the output folder.

    Attributes:
        name: Of the figure of the paper, or of the method and defender whose work it shows.
        path: The file.
    """

    name: str
    path: Path


def draw_curves(done: Reproduction) -> list[Picture]:
    """Draw the learning curves of the figures that were asked for, as far as they are trained.

    Returns:
        The drawings; there is a PNG beside each.

    Raises:
        TargetError: They can't be written.
    """
    out, drawn = done.plan.asked.out, []
    for table in done.plan.asked.chosen:
        trainings = dict.fromkeys(cell.training for cell in table.cells)
        records = [one for training in trainings for one in done.records.get(training, ())]
        if table.curves and records:
            path = out / f"{table.name}.svg"
            with writing_to(out):
                curves(records, path.with_suffix(".png"), path)
            drawn.append(Picture(table.name, path))
    return drawn


def draw_galleries(done: Reproduction) -> list[Picture]:
    """Draw for each defender the clean images, its perturbations and the protected images.

    Raises:
        TargetError: They can't be written.
    """
    groups = [group for group in done.plan.groups if group.config.defenders and not group.config.mix]
    named = {group.config.defender_names[0]: group for group in groups}
    return [picture for name, group in named.items() for picture in _gallery(name, group, done)]


def _gallery(name: str, group: Group, done: Reproduction) -> Iterator[Picture]:
    """Yield the gallery of a defender's work for its first seed, if that is there."""
    config = group.config
    builder = TrainingSets(config, open_data(config), group.folder / "sets")
    if list(builder.to_make()):
        return
    protected = next(iter(builder.sets())).read().images
    clean = builder.clean
    firsts = clean.firsts(SHOWN)
    path = done.plan.asked.out / f"gallery-{name}.png"
    with writing_to(path):
        gallery(clean.images[firsts].numpy(), protected[firsts].numpy(), config.epsilon, path)
    yield Picture(f"{group.trainings[0].treatment.method} ({name})", path)
