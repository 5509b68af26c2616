"""Evaluate on a GPU: preset fast against the clock, and ResNet-18 by the published protocol.

    python benchmarks/evaluate_gpu.py
    python benchmarks/evaluate_gpu.py --recipe airbench94_muon.py --recipe-trainings 25
    python benchmarks/evaluate_gpu.py --parts paper --seeds 0

Part `fast` trains the clean control of preset fast once for each seed and prints accuracy and seconds, the
epochs' judging included. A public recipe for the same accuracy, a script of its own that trains CIFAR-10 to
its end, is timed on the same card as a whole process; --recipe-trainings says how many trainings it makes.
Part `paper` trains ResNet-18 by preset paper on clean images, ULEO and ULEO-GrayAugs (the defenders uleo and
cifar), standard and gray. All results stay in OUT, and an interrupted run goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median

import torch
from timing import conditions


def evaluate(out: Path, options: argparse.Namespace, *arguments: str) -> list[dict[str, object]]:
    """Run `ulecli evaluate` into a folder, print its table, and return its records."""
    command = [sys.executable, "-m", "ulecli", "evaluate", "--data-root", str(options.data_root)]
    command += ["--device", options.device, "--out", str(out), "--resume", *arguments]
    print(f"$ {' '.join(command[1:])}", flush=True)
    subprocess.run(command, check=True)
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def fast(options: argparse.Namespace) -> None:
    """Time preset fast, and a public recipe beside it."""
    seeds = ",".join(str(seed) for seed in range(options.fast_trainings))
    arguments = ["--preset", "fast", "--exploiter", "standard", "--defender", "noise", "--seeds", seeds]
    records = evaluate(options.out / "fast", options, *arguments)
    clean = [one for one in records if one["arm"]["poison"] == "clean"]  # type: ignore[index]
    times = [float(one["seconds"]) for one in clean]  # type: ignore[arg-type]
    lasts = [one["test_accuracies"][-1] for one in clean]  # type: ignore[index]
    print(f"\nfast, clean: {mean(lasts):.2f} % mean of {len(lasts)}, {min(lasts):.2f} % at least")
    print(f"seconds a training: first {times[0]:.2f}, median of the others {median(times[1:] or times):.2f}")
    if options.recipe:
        start = time.perf_counter()
        subprocess.run([sys.executable, str(options.recipe)], check=True)
        each = (time.perf_counter() - start) / options.recipe_trainings
        print(f"{options.recipe.name}: {each:.2f} s a training, the whole process over its trainings")
        print(f"ratio {median(times[1:] or times) / each:.2f}")


def paper(options: argparse.Namespace) -> None:
    """Train ResNet-18 by the published protocol."""
    seeds = ",".join(str(seed) for seed in options.seeds)
    arguments = ["--preset", "paper", "--exploiter", "standard,gray", "--defender", "uleo,cifar"]
    evaluate(options.out / "paper", options, *arguments, "--seeds", seeds)


def main() -> None:
    """Run the parts that were asked for."""
    shared = os.environ.get("ULECLI_SHARED", "../shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("ULECLI_DATA") or shared))
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["fast", "paper"])
    parser.add_argument("--seeds", type=lambda text: [int(one) for one in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--fast-trainings", type=int, default=5)
    parser.add_argument("--recipe", type=Path, help="a script that trains CIFAR-10 to 94 %%")
    parser.add_argument("--recipe-trainings", type=int, default=1)
    parser.add_argument("--device", default="cuda", choices=["cuda", "mps", "cpu"])
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate_gpu"))
    options = parser.parse_args()
    print(conditions("torch", "torchvision", "numpy"))
    if options.device == "cuda":
        print(torch.cuda.get_device_name())
    for part in options.parts:
        {"fast": fast, "paper": paper}[part](options)


if __name__ == "__main__":
    main()
