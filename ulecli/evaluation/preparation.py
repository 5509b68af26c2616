"""What is checked before a defender or an exploiter goes to work, so that it fails at once or not at all."""

from __future__ import annotations

import torch

from ulecli.data.images import ImageSet
from ulecli.errors import NothingToDo, UsageError
from ulecli.evaluation.exploiters.protocol import Protocol
from ulecli.evaluation.parts import OpenedPart
from ulecli.evaluation.workers import Workers
from ulecli.nets.registry import NETS, Net
from ulecli.nets.seeding import seeded
from ulecli.units import LEVELS


def check_plan(opened: OpenedPart, workers: Workers) -> int:
    """Find what is wrong with a plan, and return how many trainings it has.

    Args:
        opened: A part of the evaluation; other people's poisons are read, nothing else is made.
        workers: Who is to do the trainings.

    Raises:
        NothingToDo: There is nothing to train on.
        UsageError: A set holds too few images for a batch, or a net of the user's own can't take them.
        UleError: A poison can't be used, or there is too little memory for the jobs.
    """
    part, builder = opened.part, opened.builder
    if not (names := builder.names()):
        raise NothingToDo("nothing to train on: name a --defender or a --poison, or leave the controls")
    config = part.config
    protocols, trainings = {}, 0
    for measure in {one.name: one for one in part.measures()}.values():
        runs = len(names) * len(set(part.seeds(measure, drawn=builder.drawn)))
        if measure.learner is not None:
            trainings += runs * len(part.requests)
            continue
        for arch in config.arch_names or ("",):
            protocol = config.protocol(measure, arch, opened.side)
            trainings += runs * ((measure.name, protocol.net) not in protocols)
            protocols[measure.name, protocol.net] = protocol
    for protocol in protocols.values():
        if builder.least < (size := protocol.fitted(builder.least).batch_size):
            raise UsageError(
                f"{builder.least} training images don't fill a batch of {size}: take more, or another "
                "--preset"
            )
    for protocol in protocols.values():
        if (net := config.known.nets[protocol.net]) is not NETS.get(protocol.net):
            check_net(net, protocol, opened.data.train)
    workers.jobs(trainings, opened.image_bytes)
    builder.read_poisons()
    return trainings


def check_net(net: Net, protocol: Protocol, images: ImageSet) -> None:
    """Try a net of somebody's own on two images.

    Args:
        net: The net.
        protocol: That it is trained by.
        images: Of the data set.

    Raises:
        UsageError: It can't be built or can't take the images, or gives no logits of all classes.
    """
    classes, name = len(images.classes), protocol.net
    try:
        with seeded(0), torch.no_grad():
            made = net.build(channels=3, classes=classes, **protocol.settings).eval()
            logits = made(images.images[:2].float() / LEVELS)
    except Exception as error:  # somebody else's code raises what it likes
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(
            f"net '{name}' can't judge images {tuple(images.images[:2].shape)} of {classes} classes ({words})"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(f"net '{name}' returned {shape} for 2 images, not logits (2, {classes})")
    if not any(weights.requires_grad for weights in made.parameters()):
        raise UsageError(f"net '{name}' has nothing that can be trained: no parameter takes a gradient")
