"""Measure what the CIFAR surrogates do to a classifier that trains on CIFAR-10 protected by them.

    python benchmarks/cifar_effect.py
    python benchmarks/cifar_effect.py --surrogates cifar,cifar-linear --seeds 0 --device cuda
    python benchmarks/cifar_effect.py --quick

All 50,000 training images get a delta by their class at epsilon 8, before any augmentation, and are stored as
uint8. The exploiter trains a small net on them from scratch (`ulecli.exploit.CIFAR`): as they are, gray, with
bit depth reduction to 2 bits (BDR-2), or through JPEG of quality 10 (Liu et al., 'Image Shortcut Squeezing',
2023). The table tells its accuracy on the 10,000 clean test images after the last epoch, and the best after
any epoch; `worst of four` is the highest of the four means, what an exploiter gets who tries all of them.
Controls are the clean images and random signs of the same epsilon, tied across RGB, anew for each image.

Not measured: larger exploiters, adversarial training, and files: nothing is written but finished arms, in
`OUT/results.jsonl`, which are not trained again. Remove OUT to start anew.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from tables import Journal, Row, exploited, markdown, spread, write_json

from ulecli import shelf
from ulecli.data import ImageSet, cifar10
from ulecli.exploit import CIFAR
from ulecli.perturb.sets import protect_set
from ulecli.units import LEVELS

EXPLOITERS = {"standard": "none", "gray": "gray", "BDR-2": "bdr-2", "JPEG-10": "jpeg-10"}
"""Name in the table and countermeasure."""


def protected(surrogate: str, clean: ImageSet, options: argparse.Namespace) -> ImageSet:
    """Protect the training set with a surrogate, unless this was done."""
    card = (shelf.directory() / f"{surrogate}.json").read_bytes()
    kept = options.out / f"{surrogate}-{shelf.sha256_of(card)[:8]}-eps{options.eps}-{options.device}.npy"
    if not kept.exists():
        images = protect_set(
            surrogate, clean.images, clean.labels, epsilon=options.eps, device=options.device
        )
        draft = kept.with_name(f"part-{kept.name}")
        np.save(draft, images.numpy())
        draft.replace(kept)
    return replace(clean, images=torch.from_numpy(np.load(kept)))


def noisy(clean: ImageSet, epsilon: int) -> ImageSet:
    """Add random signs at the bound, tied across RGB, and store as uint8."""
    signs = np.random.default_rng(0).choice(
        np.array([-1, 1], np.int16), (len(clean), 1, *clean.images.shape[2:])
    )
    images = clean.images.to(torch.int16) + epsilon * torch.from_numpy(signs)
    return replace(clean, images=images.clamp(0, LEVELS).to(torch.uint8))


def training_sets(clean: ImageSet, options: argparse.Namespace) -> Iterator[tuple[str, str, ImageSet]]:
    """Yield the label, in a table and in full, and the images of each arm."""
    yield "clean", "no change", clean
    yield "random noise", "random signs", noisy(clean, options.eps)
    for surrogate in options.surrogates:
        stamp = shelf.load_card(surrogate).files[f"{surrogate}.safetensors"]
        yield surrogate, f"{surrogate} {stamp.sha256[:8]}", protected(surrogate, clean, options)


def effect(clean: ImageSet, test: ImageSet, options: argparse.Namespace) -> list[Row]:
    """Train every exploiter on every arm."""
    journal = Journal(options.out / "results.jsonl")
    rows = []
    for arm, label, images in training_sets(clean, options):
        for exploiter, countermeasure in EXPLOITERS.items():
            config = replace(CIFAR, countermeasure=countermeasure)
            runs = [
                exploited(journal, label, images, test, config, seed, device=options.device)
                for seed in options.seeds
            ]
            rows.append({"arm": arm, "label": label, "exploiter": exploiter, "runs": runs})
    return rows


def table(rows: Sequence[Row], figure: str) -> str:
    """Return a figure of each arm under each exploiter, and the worst for the protection."""
    lines: dict[str, list[list[float]]] = {}
    for row in rows:
        lines.setdefault(row["arm"], []).append([run[figure] for run in row["runs"]])
    cells = [
        [arm, *[spread(runs) for runs in figures], f"{max(mean(runs) for runs in figures):.1f}"]
        for arm, figures in lines.items()
    ]
    return markdown(["training images", *EXPLOITERS, "worst of four"], cells)


def report(options: argparse.Namespace) -> None:
    """Run all arms, print the tables and write the figures."""
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    clean, test = (cifar10(options.data_root, train=train) for train in (True, False))
    rows = effect(clean, test, options)
    path = options.json or options.out / "cifar.json"
    figures = {
        "epsilon": options.eps,
        "n_train": len(clean),
        "n_test": len(test),
        "seeds": options.seeds,
        "device": options.device,
        "effect": rows,
    }
    write_json(path, figures, "ulecli", "torch", "numpy", "pillow")
    print(f"\nEpsilon {options.eps}, {len(clean)} training and {len(test)} clean test images,")
    print(f"seeds {options.seeds}, on {options.device}")
    print(json.loads(path.read_text(encoding="utf-8"))["conditions"])
    print(f"\nAccuracy after the last epoch, in %:\n\n{table(rows, 'last')}")
    print(f"\nBest accuracy after any epoch, in %:\n\n{table(rows, 'peak')}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    shared = os.environ.get("ULECLI_SHARED", "../shared")
    bundled = [name for name in shelf.names() if name.startswith("cifar")]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--data-root",
        type=Path,
        default=Path(os.environ.get("ULECLI_DATA") or shared),
        help="holds cifar-10-batches-py; default: ULECLI_DATA, else ULECLI_SHARED, else ../shared",
    )
    add("--surrogates", type=lambda text: text.split(","), default=bundled, help="default: all named cifar*")
    add("--eps", type=int, default=8, help="in levels")
    add("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    add("--out", type=Path, default=Path("runs/cifar_effect"), help="protected images and finished arms")
    add("--json", type=Path, help="figures with their conditions; default: cifar.json in OUT")
    add("--device", default="cpu", help="a torch device, for protecting and for training")
    add("--threads", type=int, default=torch.get_num_threads(), help="of torch on the CPU")
    add("--quick", action="store_true", help="one seed, the first surrogate alone")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.surrogates = [0], options.surrogates[:1]
    return options


if __name__ == "__main__":
    report(parse())
