"""Write measured effects onto the cards of the surrogates that they were measured with.

    python benchmarks/photo_effect.py && python benchmarks/write_effect.py runs/photo_effect/photo.json
    python benchmarks/cifar_effect.py && python benchmarks/write_effect.py runs/cifar_effect/cifar.json

The figures are those of the JSON file: accuracy (or recall) in % on clean test pictures after the last epoch,
mean and standard deviation over the seeds. What an earlier run of the same benchmark wrote is replaced.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ulecli import shelf

Figures = dict[str, Any]


def figure(values: list[float]) -> Figures:
    """Return mean and, of several seeds, the sample's standard deviation."""
    rounded: Figures = {"mean": round(mean(values), 1)}
    if len(values) > 1:
        rounded["std"] = round(stdev(values), 1)
    return rounded


def entry(told: Figures, command: str, results: list[Figures], seeds: str) -> Figures:
    """Return what a card says of one benchmark."""
    shared = ("conditions", "epsilon", "n_train", "n_test")
    return {
        "command": command,
        **{key: told[key] for key in shared},
        "seeds": told[seeds],
        "results": results,
    }


def accuracies(rows: list[Figures], keys: tuple[str, ...]) -> list[Figures]:
    """Return one result for each arm."""
    return [
        {key: row[key] for key in keys} | {"accuracy": figure([run["last"] for run in row["runs"]])}
        for row in rows
    ]


def photo_effects(told: Figures) -> dict[str, list[Figures]]:
    """Return the effects of the surrogate that `photo_effect.py` measured."""
    command = "python benchmarks/photo_effect.py"
    all_protected = accuracies(told["effect"], ("arm", "upload", "exploiter"))
    classes = [row["class"] for row in told["single"] if row["arm"] == "protected"]
    recalls = []
    for row in told["single"]:
        if row["class"] is None:
            continue
        own = classes.index(row["class"])
        values = [run["recalls"][own] for run in row["runs"]]
        recalls.append(
            {"arm": row["arm"], "only": row["class"], "upload": row["upload"], "recall": figure(values)}
        )
    return {
        told["surrogate"].split()[0]: [
            entry(told, command, all_protected, "seeds"),
            entry(told, command, recalls, "single_seeds"),
        ]
    }


def cifar_effects(told: Figures) -> dict[str, list[Figures]]:
    """Return the effects of each surrogate that `cifar_effect.py` measured, beside the controls."""
    arms = {row["arm"] for row in told["effect"]} - {"clean", "random noise"}
    found = {}
    for arm in sorted(arms):
        rows = [row for row in told["effect"] if row["arm"] in (arm, "clean", "random noise")]
        results = accuracies(rows, ("arm", "exploiter"))
        found[arm] = [entry(told, "python benchmarks/cifar_effect.py", results, "seeds")]
    return found


def main() -> None:
    """Read the figures and write the cards."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    effects = photo_effects(told) if "single" in told else cifar_effects(told)
    for name, effect in effects.items():
        path = shelf.write_card(replace(shelf.load_card(name), effect=tuple(effect)), shelf.directory())
        print(f"wrote {len(effect)} effects to {path}")


if __name__ == "__main__":
    main()
