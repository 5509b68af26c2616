"""Write what `ulecli evaluate` measured onto the cards of the surrogates that protected.

    ulecli evaluate --defender cifar,cifar-linear --exploiter standard,gray --seeds 0,1,2 --out runs/cifar
    python benchmarks/write_effect.py runs/cifar
    ulecli evaluate --dataset scenes --protected scenes-protected --upload q90 --out runs/scenes
    python benchmarks/write_effect.py runs/scenes runs/scenes-sea --photos photo

Figures are accuracy in % on clean test pictures after the last epoch, mean and standard deviation over seeds,
beside those of the controls; of photos of which only some classes are protected, the recall of each of these.
Run it on the machine that measured: the card names the processor. What a card said before is replaced by what
all folders of this call say of its surrogate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timing import conditions as machine

from ulecli.evaluation.results.record import CLEAN, NOISE, RunRecord
from ulecli.evaluation.results.summary import Spread, by_cell
from ulecli.evaluation.results.tables import conditions
from ulecli.surrogates import store

Entry = dict[str, Any]


def figure(values: Sequence[float]) -> Entry:
    """Return mean and, of several seeds, the sample's standard deviation."""
    spread = Spread.of(values)
    reported = {"mean": round(spread.mean, 1)}
    return reported if spread.std is None else {**reported, "std": round(spread.std, 1)}


def entries(records: Sequence[RunRecord], poison: str, shared: Entry) -> Iterator[Entry]:
    """Yield what a card says of one poison: an entry for each net and preset.

    Args:
        records: All runs of a folder.
        poison: Its name there; the controls' runs with the same exploiters and seeds are reported beside it.
        shared: What all runs of the folder have in common, from its `run.json`.
    """
    own = {(one.arm.exploiter, one.arm.seed) for one in records if one.arm.poison == poison}
    mine = [
        one
        for one in records
        if one.arm.poison in (CLEAN, NOISE, poison) and (one.arm.exploiter, one.arm.seed) in own
    ]
    for preset, net in dict.fromkeys((one.arm.preset, one.arm.arch) for one in mine):
        runs = [one for one in mine if (one.arm.preset, one.arm.arch) == (preset, net)]
        results = []
        for cell, same in by_cell(runs).items():
            reported: Entry = {"arm": cell.poison, "exploiter": cell.exploiter}
            for name in shared["only"]:
                place = same[0].classes.index(name)
                reported[f"recall of {name}"] = figure([one.recalls[place] for one in same])
            results.append({**reported, "accuracy": figure([one.last for one in same])})
        seeds = sorted({one.arm.seed for one in runs})
        yield {
            "command": command(runs, poison, shared, seeds),
            "conditions": f"{machine()} · {conditions(runs)}",
            "upload": shared["upload"],
            "epsilon": shared["epsilon"],
            "n_train": runs[0].n_train,
            "n_test": runs[0].n_test,
            "seeds": seeds,
            "results": results,
        }


def command(runs: Sequence[RunRecord], poison: str, shared: Entry, seeds: Sequence[int]) -> str:
    """Return what measured these runs again, without paths of this machine."""
    words = ["ulecli evaluate", "--dataset", shared["dataset"]]
    words += ["--protected DIR"] if poison.split()[0] == "protected" else ["--defender", poison]
    words += ["--upload", shared["upload"]] if shared["upload"] != "none" else []
    words += ["--only", ",".join(shared["only"])] if shared["only"] else []
    words += ["--eps", str(shared["epsilon"])] if shared["epsilon"] != 8 else []
    words += ["--size", str(shared["size"])] if shared["size"] else []
    words += ["--mix", "+".join(map(str, shared["mix"]))] if shared["mix"] else []
    words += ["--train-images", str(shared["train_images"])] if shared["train_images"] else []
    words += ["--exploiter", ",".join(dict.fromkeys(one.arm.exploiter for one in runs))]
    words += ["--preset", runs[0].arm.preset, "--arch", runs[0].arm.arch]
    return " ".join([*words, "--seeds", ",".join(map(str, seeds))])


def effects(folder: Path, photos: str) -> Iterator[tuple[str, Entry]]:
    """Yield the surrogate and the entry of each poison of a folder that a bundled surrogate made."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    read = (RunRecord.from_json(json.loads(line)) for line in lines)
    records = list({one.arm: one for one in read}.values())  # what was measured again counts by its last run
    shared = json.loads((folder / "run.json").read_text(encoding="utf-8"))["fingerprint"]
    for poison in dict.fromkeys(one.arm.poison for one in records):
        name = photos if poison.split()[0] == "protected" else poison
        if name in store.names():
            for entry in entries(records, poison, shared):
                yield name, entry


def main() -> None:
    """Read the folders and write the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="what --out of ulecli evaluate named")
    parser.add_argument("--photos", default="photo", help="the surrogate that protected photos")
    options = parser.parse_args()
    found: dict[str, list[Entry]] = {}
    for folder in options.folders:
        for name, entry in effects(folder, options.photos):
            found.setdefault(name, []).append(entry)
    for name, reported in found.items():
        path = store.write_card(replace(store.load_card(name), effect=tuple(reported)), store.directory())
        print(f"wrote {len(reported)} effects to {path}")


if __name__ == "__main__":
    main()
