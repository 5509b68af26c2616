"""All that an evaluation will have to do, and how long each part takes by its first steps."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from ulecli.evaluation.defenders import CLASSWISE
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.forecast import Work
from ulecli.evaluation.outlook import Outlook, Preparation
from ulecli.evaluation.own_surrogates import needs_training
from ulecli.evaluation.parts import OpenedPart
from ulecli.evaluation.probes import seconds_of_an_image, seconds_of_protecting, seconds_of_training
from ulecli.evaluation.results.record import NOISE, Arm, RunRecord
from ulecli.evaluation.ways import Way, ways
from ulecli.evaluation.workers import Workers
from ulecli.nets.threads import torch_threads
from ulecli.surrogates.recipe import ON, RECIPES


@dataclass(frozen=True)
class ExpectedTraining:
    """A training of the plan, before its training set is there.

    Attributes:
        arm: What distinguishes it.
        work: What it costs.
        protocol: How the net is trained; None where it is a pretrained one.
        part: The place of the part of the evaluation that it belongs to.
    """

    arm: Arm
    work: Work
    protocol: Protocol | None
    part: int


def expect(
    opened: Sequence[OpenedPart],
    known: Iterable[RunRecord],
    outlook: Outlook,
    workers: Workers,
) -> list[tuple[str, float | None]]:
    """Take the first steps of everything, and return how long each part of the work takes.

    Args:
        opened: The parts of the evaluation.
        known: Results of earlier runs.
        outlook: Takes note of it; see there what is returned.
        workers: Who is to do the trainings.
    """
    done = {record.arm for record in known}
    left = list({one.arm: one for one in expected_trainings(opened) if one.arm not in done}.values())
    jobs = workers.jobs(len(left), max(one.image_bytes for one in opened))
    measured = paces(left, opened, max(1, workers.threads // jobs))
    first = chain.from_iterable(map(preparations, opened))
    return outlook.expect(list(first), [one.work for one in left], jobs, measured)


def cost_of(arm: Arm, way: Way, images: int) -> Work:
    """Return what a training costs, in passes of one image forward and back.

    Adversarial training takes a pass for each step of its attack as well.

    Args:
        arm: What distinguishes it.
        way: How it is done.
        images: Number of training images.
    """
    attack: Mapping[str, Any] | None = way.settings.get("attack")
    passes = 1 + (int(attack.get("steps", 1)) if attack else 0)
    return Work(way.epochs * images * passes, (arm.exploiter, arm.arch))


def expected_trainings(opened: Sequence[OpenedPart]) -> Iterator[ExpectedTraining]:
    """Yield every training of the parts of an evaluation, without making any training set."""
    for number, one in enumerate(opened):
        part, builder = one.part, one.builder
        for measure in part.measures():
            for way in ways(part, measure, one.side):
                for seed, name in product(part.seeds(measure, drawn=builder.drawn), builder.names()):
                    arm = Arm(one.data.name, name, measure.name, way.net, part.config.preset, seed)
                    work = cost_of(arm, way, builder.count)
                    yield ExpectedTraining(arm, work, way.protocol, number)


def preparations(opened: OpenedPart) -> Iterator[Preparation]:
    """Yield what defenders still have to do for the training sets of a part, measured on first steps.

    A surrogate that has to be trained comes before what it protects; noise takes no time.
    """
    device, images, builder = opened.part.config.device, opened.data.train, opened.builder
    trained, paces = set[tuple[str, int]](), dict[str, float]()
    for name, seed, label in builder.to_make():
        stem, words = name.removesuffix(CLASSWISE), f"protecting {builder.count:,} images by {label}"
        if stem == NOISE:
            continue
        if stem.partition(ON)[0] not in RECIPES:  # how many rounds a loop takes shows in the end alone
            yield Preparation(words, f"{label}: protecting", None)
            continue
        if (stem, seed) not in trained and (training := needs_training(stem, images, seed, device)):
            surrogate = f"training a surrogate {stem} for {len(images.classes)} classes, which is then kept"
            yield Preparation(surrogate, f"{label}: training", seconds_of_training(training))
            trained.add((stem, seed))
        if name == stem and ((stem, seed) in trained or not builder.is_cached(stem, seed)):
            if stem not in paces:
                paces[stem] = seconds_of_protecting(stem, images, builder.count, device)
            yield Preparation(words, f"{label}: protecting", paces[stem])


def paces(
    trainings: Collection[ExpectedTraining], opened: Sequence[OpenedPart], threads: int
) -> dict[Hashable, float]:
    """Return the seconds for one unit of cost of the kinds of training, measured on first steps.

    Each net is measured once, without what countermeasures do to a batch. Pretrained nets are left out: their
    first step comes after all images went through them.

    Args:
        trainings: Those that are left to do.
        opened: The parts of the evaluation.
        threads: CPU threads of one training.
    """
    nets: dict[tuple[int, str], float | None] = {}
    found: dict[Hashable, float] = {}
    with torch_threads(threads):
        for one in trainings:
            if one.protocol is None:
                continue
            place = one.part, one.protocol.net
            if place not in nets:
                config, data = opened[one.part].part.config, opened[one.part].data
                nets[place] = seconds_of_an_image(
                    data.train, data.test, one.protocol, config.device, config.known.nets
                )
            if (pace := nets[place]) is not None:
                found[one.work.kind] = pace
    return found
