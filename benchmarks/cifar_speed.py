"""Time whole processes: training a CIFAR surrogate with the delta of all 50,000 images, and `ulecli protect`.

    python benchmarks/cifar_speed.py
    python benchmarks/cifar_speed.py --device cuda --recipes cifar-linear,cifar-mlp --photos ~/Pictures/2024

Each figure is the wall-clock time of a command from start to end, imports and reading the data included, on
the first `--cores` cores: its best and its median over `--repeats` runs. Photos per second are those of
`ulecli protect` on a folder, on the same device, divided by its whole time, start-up included.

Not measured: what the deltas are worth (`ulecli evaluate`), and how `protect` compares with mere decoding and
encoding (`protect_speed.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from tables import Row, markdown, write_json
from timing import conditions, seconds

from ulecli.data.folder import picture_files

IMAGES = 50_000


def train(recipe: str, options: argparse.Namespace) -> float:
    """Return the seconds from nothing to a surrogate and the delta of every training image."""
    with tempfile.TemporaryDirectory() as scratch:
        deltas = Path(scratch) / "deltas.npy"
        command = [sys.executable, "-m", "ulecli", "surrogate", "train", "timed", "--recipe", recipe]
        command += ["--data-root", str(options.data_root), "--output", scratch, "--deltas", str(deltas)]
        command += ["--device", options.device, "--threads", str(options.cores)]
        elapsed = seconds(command, cores=options.cores)
        found = np.load(deltas, mmap_mode="r")
        if len(found) != IMAGES:
            raise SystemExit(f"{recipe}: {len(found)} deltas instead of {IMAGES}")
    return elapsed


def protect(options: argparse.Namespace) -> float:
    """Return the seconds that `ulecli protect` takes for the folder of photos."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "ulecli", "protect", str(options.photos), "-o", f"{scratch}/out"]
        command += ["--key-file", f"{scratch}/key", "--device", options.device]
        return seconds([*command, "--jobs", str(options.cores), "--quiet"], cores=options.cores)


def timed(name: str, count: int, work: Callable[[], float], repeats: int) -> Row:
    """Repeat a measurement; `count` images are done in each."""
    runs = [work() for _ in range(repeats)]
    print(f"{name}: {', '.join(f'{run:.1f}' for run in runs)} s", flush=True)
    return {"name": name, "images": count, "runs": runs, "best": min(runs), "median": median(runs)}


def measure(options: argparse.Namespace) -> list[Row]:
    """Time every recipe, then the photos if there are any."""
    rows = [
        timed(f"train {recipe} and all deltas", IMAGES, partial(train, recipe, options), options.repeats)
        for recipe in options.recipes
    ]
    photos = picture_files(options.photos)
    if photos:
        name = f"protect {options.photos.name}"
        rows.append(timed(name, len(photos), partial(protect, options), options.repeats))
    return rows


def report(options: argparse.Namespace) -> None:
    """Measure, print the table and write the figures."""
    rows = measure(options)
    lines = [
        [
            row["name"],
            str(row["images"]),
            *(f"{row[figure]:.2f}" for figure in ("best", "median")),
            f"{row['images'] / row['median']:.1f}",
        ]
        for row in rows
    ]
    print(f"\n{conditions('ulecli', 'torch', 'numpy', 'onnxruntime')}")
    print(f"device {options.device}, {options.cores} cores, {options.repeats} runs\n")
    print(markdown(["whole process", "images", "best s", "median s", "images/s"], lines))
    if options.json:
        reported = {"device": options.device, "cores": options.cores, "timings": rows}
        write_json(options.json, reported, "ulecli", "torch", "numpy", "onnxruntime")


def main() -> None:
    """Read the command line."""
    shared = Path(os.environ.get("ULECLI_SHARED", "../shared"))
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
    add("--recipes", type=lambda text: text.split(","), default=["cifar-linear", "cifar-mlp"])
    add("--photos", type=Path, default=shared / "photos", help="default: photos in ULECLI_SHARED")
    add("--device", default="cpu", help="as of ulecli: auto, cpu, cuda or mps")
    add("--cores", type=int, default=min(4, os.cpu_count() or 1), help="default: 4, or all")
    add("--repeats", type=int, default=3)
    add("--json", type=Path, help="where to write the figures with their conditions")
    report(parser.parse_args())


if __name__ == "__main__":
    main()
