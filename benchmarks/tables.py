"""What the effect benchmarks share: results that outlive an interruption, tables, figures with conditions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from timing import conditions

from ulecli.data import ImageSet
from ulecli.exploit import ExploitConfig, train_exploiter

Row = dict[str, Any]
"""One finished arm: the entries that tell it from others, and its figures under `result`."""


class Journal:
    """Finished arms as lines of JSON, so that a run which was interrupted goes on where it stopped.

    Attributes:
        path: The file; each line is a `Row`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._rows: list[Row] = [json.loads(line) for line in lines]

    def arm(self, key: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> Row:
        """Return the result of an arm: the one on file, or else that of `work`, which is put on file."""
        wanted = json.loads(json.dumps(key))  # as it will be read back: tuples are lists
        for row in self._rows:
            if row["key"] == wanted:
                return dict(row["result"])
        result = dict(work())
        self._rows.append({"key": wanted, "result": result})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._rows[-1]) + "\n")
        return result


def exploited(
    journal: Journal,
    name: str,
    images: ImageSet,
    test: ImageSet,
    config: ExploitConfig,
    seed: int,
    *,
    device: str = "cpu",
) -> Row:
    """Train one exploiter unless the journal knows the result, and tell it in a line.

    An arm is known by the very pixels and labels it trains on, so a surrogate or a setting that changes them
    makes a new arm, whatever it is called.

    Args:
        journal: Where results are kept.
        name: Of the arm, for the person who waits.
        images: What the exploiter trains on.
        test: Clean images.
        config: How it trains.
        seed: Of its weights, order and augmentation.
        device: Where it trains.

    Returns:
        `last`, `peak` and `train` accuracy, `accuracies` after each epoch and `recalls` of each class, in %.
    """

    def work() -> Row:
        result = train_exploiter(images, test, config, seed, device=device)
        return {"last": result.last, "peak": result.peak, "train": result.train, **asdict(result)}

    key = {
        "train": fingerprint(images),
        "test": fingerprint(test),
        "protocol": asdict(config),
        "seed": seed,
        "device": device,
        "torch": torch.__version__,
    }
    result = journal.arm(key, work)
    print(
        f"{name}, {config.countermeasure}, seed {seed}: {result['last']:.1f} (peak {result['peak']:.1f})",
        flush=True,
    )
    return result


def fingerprint(images: ImageSet) -> str:
    """Return the first 16 digits of the sha256 of pixels and labels."""
    digest = hashlib.sha256(images.images.numpy().tobytes())
    digest.update(images.labels.numpy().tobytes())
    return digest.hexdigest()[:16]


def spread(values: Sequence[float]) -> str:
    """Return 'mean ± standard deviation' of several seeds (of the sample, n - 1), or the single value."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up in plain text as well."""
    lines = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def write_json(path: Path, figures: Mapping[str, Any], *packages: str) -> None:
    """Write figures with the conditions that they hold under."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"conditions": conditions(*packages), **figures}
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
