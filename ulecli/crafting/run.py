"""Crafting a poison of a data set by name, from reading it to the files that are written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ulecli.crafting.layout import Layout
from ulecli.crafting.methods import (
    DEFAULT_SURROGATE,
    Poison,
    Progress,
    Request,
    check_request,
    craft,
)
from ulecli.crafting.writing import check_target, write_card, write_poison
from ulecli.data.datasets import Dataset, open_dataset
from ulecli.nets.devices import device_name, usable_device
from ulecli.nets.threads import torch_threads
from ulecli.system.cores import usable_cores
from ulecli.system.versions import versions
from ulecli.units import DEFAULT_EPSILON


@dataclass(frozen=True)
class CraftConfig:
    """What `ulecli craft` was asked to do.

    Attributes:
        dataset: As of `ulecli evaluate`; its training images are poisoned.
        output: A folder, or a file with an ending of `ulecli.crafting.layout.ARRAYS`; None writes nothing.
        method: A key of `ulecli.crafting.methods.METHODS`.
        surrogate: The net that it is made with.
        epsilon: L-infinity bound in levels.
        seed: Of everything random.
        classwise: One perturbation for all images of a class.
        as_published: As the published code does it; see `ulecli.crafting.settings` and `...storage`.
        changes: Fields of `BilevelSettings` other than the usual ones.
        layout: Of a folder.
        size: Side that photos of a folder are squeezed to; 0 for 64.
        data_root: Where CIFAR lies; None for the usual place.
        download: Fetch CIFAR if it is not there.
        device: A torch device, or "auto".
        threads: CPU threads; 0 for all cores.
    """

    dataset: str = "cifar10"
    output: Path | None = None
    method: str = "uleo-grayaugs"
    surrogate: str = DEFAULT_SURROGATE
    epsilon: int = DEFAULT_EPSILON
    seed: int = 0
    classwise: bool = False
    as_published: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    layout: Layout = Layout.NUMBERS
    size: int = 0
    data_root: Path | None = None
    download: bool = True
    device: str = "auto"
    threads: int = 0


def craft_set(config: CraftConfig, progress: Progress | None = None) -> Poison:
    """Make a poison and write it, with a card of how it was made; interrupted work is taken up.

    Args:
        config: What to do.
        progress: Called now and then.

    Raises:
        UleError: Something can't be right, read, used or written; see `ulecli.errors`.
    """
    output = config.output
    request = Request(
        surrogate=config.surrogate,
        epsilon=config.epsilon,
        seed=config.seed,
        device=str(usable_device(config.device)),
        classwise=config.classwise,
        as_published=config.as_published,
        changes=config.changes,
        checkpoints=None if output is None else _unfinished(output),
        progress=progress,
    )
    check_request(config.method, request)
    if output is not None:
        check_target(output, resumes=_unfinished(output).exists())
    data = open_dataset(config.dataset, config.data_root, size=config.size, download=config.download)
    start = time.perf_counter()
    with torch_threads(config.threads or usable_cores()):
        poison = craft(config.method, data.train, request)
    if output is not None:
        write_poison(output, poison.images, config.layout)
        card = _card(config, data, request.device, poison, time.perf_counter() - start)
        write_card(output, card, poison.errors)
        shutil.rmtree(_unfinished(output), ignore_errors=True)
    return poison


def _unfinished(output: Path) -> Path:
    """Return the folder beside an output where interrupted work is taken up."""
    return output.with_name(f"{output.name}.unfinished")


def _card(config: CraftConfig, data: Dataset, device: str, poison: Poison, seconds: float) -> dict[str, Any]:
    """Return all that decided a poison and what came out, as JSON has it."""
    return {
        "method": config.method,
        "surrogate": config.surrogate,
        "epsilon": config.epsilon,
        "seed": config.seed,
        "classwise": config.classwise,
        "as_published": config.as_published,
        "settings": dict(poison.settings),
        "dataset": data.name,
        "dataset_md5": data.train.digest,
        "images": len(poison.images),
        "poison_md5": poison.images.digest,
        "errors": list(poison.errors),
        "remarks": list(poison.remarks),
        "seconds": round(seconds, 1),
        "device": device_name(device),
        "versions": versions(("torch",)),
    }
