"""Measure how fast preset quick trains its net, beside a plain loop over a DataLoader.

    python benchmarks/evaluate_speed.py
    python benchmarks/evaluate_speed.py --threads 4 --images 10000 --repeats 3

Both train the same net on the same CIFAR-10 images with the same augmentation (crop with a padding of 2,
mirror image) and batch size, on the same number of threads. Ours is the `Batches` of the exploiters and
bfloat16 in channels-last layout; the plain one is what a tutorial shows: `torchvision.datasets.CIFAR10`,
`RandomCrop`, `RandomHorizontalFlip`, `ToTensor`, a `DataLoader` in the same process, and float32. The two
take turns, and each is warmed up; the table shows images a second, the median over repeats, and their ratio.

Not measured: reading the data set, judging on test images, and a DataLoader with workers, which on a few
cores take them from the training.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from timing import conditions
from torch import Tensor, nn
from torch.nn import functional

from ulecli.data.cifar import cifar10
from ulecli.evaluation.exploiters.batches import Batches
from ulecli.evaluation.exploiters.precision import logits_of
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.system.torchvision_shim import import_torchvision

QUICK = PRESETS["quick"].small


def net_and_optimizer() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return the preset's net with the weights of seed 0, and plain SGD."""
    with seeded(0):
        net = make_net(QUICK.net, channels=3, classes=10, **QUICK.settings)
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    return net, torch.optim.SGD(learning, lr=0.05, momentum=0.9, nesterov=True)


def rate(
    batches: Iterator[tuple[Tensor, Tensor]],
    logits: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    warm: int,
) -> float:
    """Train on `batches` and return images a second, the first `warm` batches left out."""
    count, start = 0, time.perf_counter()
    for number, (images, labels) in enumerate(batches):
        if number == warm:
            count, start = 0, time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(logits(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        count += len(labels)
    return count / (time.perf_counter() - start)


def ours(root: Path, images: int, warm: int) -> float:
    """Return the images a second of preset quick."""
    data = cifar10(root, train=True)
    net, optimizer = net_and_optimizer()
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rng = np.random.default_rng(0)
    batches = Batches(data.images[:images], data.labels[:images], QUICK.augment, QUICK.batch_size, rng)
    return rate(batches.epoch(), lambda batch: logits_of(net, batch), optimizer, warm)


def plain(root: Path, images: int, warm: int) -> float:
    """Return the images a second of a DataLoader and float32."""
    torchvision = import_torchvision()
    steps = torchvision.transforms
    augment = steps.Compose(
        [
            steps.RandomCrop(32, padding=2, padding_mode="reflect"),
            steps.RandomHorizontalFlip(),
            steps.ToTensor(),
        ]
    )
    data = torchvision.datasets.CIFAR10(str(root), train=True, transform=augment)
    some = torch.utils.data.Subset(data, range(images))
    loader = torch.utils.data.DataLoader(some, QUICK.batch_size, shuffle=True, drop_last=True)
    net, optimizer = net_and_optimizer()
    return rate(iter(loader), net, optimizer, warm)


def main() -> None:
    """Measure both in turns and print a table."""
    shared = os.environ.get("ULECLI_SHARED", "../shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("ULECLI_DATA") or shared))
    parser.add_argument("--images", type=int, default=10_000, help="of each measurement")
    parser.add_argument("--warm", type=int, default=4, help="batches that are not counted")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, list[float]] = {"plain": [], "quick": []}
    for _ in range(options.repeats):
        found["plain"].append(plain(options.data_root, options.images, options.warm))
        found["quick"].append(ours(options.data_root, options.images, options.warm))
    middle = {name: median(rates) for name, rates in found.items()}
    print(conditions("torch", "torchvision", "numpy"))
    print(f"{options.threads} threads, {options.images} images, batch {QUICK.batch_size}, {QUICK.settings}")
    for name, rates in found.items():
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        print(f"{name:6} {middle[name]:8.0f} images/s, median of {len(rates)} ({spread})")
    print(f"ratio  {middle['quick'] / middle['plain']:8.2f}")


if __name__ == "__main__":
    main()
