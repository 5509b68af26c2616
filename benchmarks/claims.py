"""Measure again what the README claims of the protection of photos, from the bundled weights, files to files.

    python benchmarks/claims.py --photos CAMERA_PHOTOS --faces FACES --scenes SCENES

Everything goes through the product: `ulecli protect` with the identity from the folder, `ulecli verify` for
what the eye sees, `ulecli evaluate --only each` for what a net learns of one identity among clean ones, all
stored as JPEG q85, beside band noise of equal SSIMULACRA2. FACES and SCENES hold a folder for each identity
or class; of each the first photos are trained on and the next ones tested. Writes a table to stdout, and ends
with 1 if a figure is off by more than its tolerance from what the surrogate's card states, which README
repeats and --record writes. What no data is named for is left out and said.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from tables import markdown
from timing import conditions

import ulecli
from ulecli.evaluation.results.each import rows, turns
from ulecli.evaluation.results.record import BANDS, PROTECTED
from ulecli.imaging.strength import Strength
from ulecli.surrogates import store

KEY = "5d" * 32
"""The user's key of all claims: figures of another key are other figures."""

SURROGATE = "photo"
JUDGE = "efficientnet-lite2"
"""The net that the claims are of; it takes no part in the making."""

COMMAND = "python benchmarks/claims.py --photos CAMERA_PHOTOS --faces FACES --scenes SCENES"
EPSILON = 8
UPLOAD = "q85"
LARGEST_BUNDLE = 24_000_000
"""Bytes that all bundled files may have together."""


@dataclass(frozen=True)
class Split:
    """How a data set of identities is split.

    Attributes:
        train: Photos of each that are trained on.
        test: Photos of each that are tested.
        size: Side in pixels of what the exploiters see.
    """

    train: int
    test: int
    size: int


FACES = Split(train=6, test=4, size=112)
SCENES = Split(train=60, test=60, size=112)
SETS = {"faces": FACES, "scenes": SCENES}
EXPLOITERS = ("probe", "centroid")


TOLERANCES = {"SSIMULACRA2": 2.0, "FLIP": 0.01, "cue": 10.0, "mean": 6.0, "worst": 25.0, "MB": 0.5}
"""How far another machine may be from a figure, by the first of these words that is in its name. A face that
is recognised or not moves the mean over 40 persons by less than one point, and a worst one by 25."""

Figures = dict[str, float]


def split(source: Path, parts: Split, target: Path) -> Path:
    """Lay out the first photos of each folder as train and test, and return the root."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        photos = sorted(path for path in folder.iterdir() if path.is_file())[: parts.train + parts.test]
        if len(photos) < parts.train + parts.test:
            raise SystemExit(f"{folder} has {len(photos)} photos, fewer than {parts.train + parts.test}")
        for place, photo in enumerate(photos):
            part = target / ("train" if place < parts.train else "test") / folder.name
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, part / photo.name)
    return target


def protected(source: Path, target: Path, strength: Strength, key: Path, *, by_folder: bool) -> Path:
    """Protect a folder and return where the copies are."""
    report = ulecli.protect(
        source,
        output=target,
        epsilon=EPSILON,
        strength=strength,
        identity_from_folder=by_folder,
        key_file=key,
    )
    if report.exit_code:
        raise SystemExit(f"{source} could not be protected: {report.outcomes}")
    return target


def eye(photos: Path, strength: Strength, scratch: Path, key: Path) -> Figures:
    """Return what the eye sees of camera photos at 1080 px, and how much of the cue platforms leave."""
    copies = protected(photos, scratch / f"photos-{strength}", strength, key, by_folder=False)
    found = ulecli.verify(photos, copies, visibility=True)
    scores = [one.ssimulacra2 for one in found if one.ssimulacra2 is not None]
    cues = [reading.recognised for one in found if one.cue for reading in one.cue.readings.values()]
    return {
        "SSIMULACRA2 mean": fmean(scores),
        "SSIMULACRA2 worst": min(scores),
        "FLIP mean": fmean(one.flip for one in found if one.flip is not None),
        "cue recognised in variants, %": 100 * fmean(cues),
    }


def learned(root: Path, name: str, strength: Strength, scratch: Path, key: Path, backbone: str) -> Figures:
    """Return the recall of one identity among clean ones, each in turn."""
    copies = protected(root / "train", scratch / f"{name}-{strength}", strength, key, by_folder=True)
    evaluation = ulecli.evaluate(
        dataset=str(root),
        protected=copies,
        upload=UPLOAD,
        only=("each",),
        exploiters=EXPLOITERS,
        backbones=(backbone,),
        size=SETS[name].size,
    )
    figures: Figures = {}
    for row in rows(turns(evaluation.records)):
        if row.treatment not in (PROTECTED, *BANDS):
            continue
        label = f"{row.setting.exploiter}, {row.treatment}"
        figures[f"{label}: recall mean"] = row.recall.mean
        figures[f"{label}: recall worst"] = row.recalls[row.worst].mean
        if row.treatment == PROTECTED and row.clean:
            figures[f"{row.setting.exploiter}, clean: recall mean"] = row.clean.mean
    return figures


def bundle() -> Figures:
    """Return the size of all bundled files."""
    size = sum(path.stat().st_size for path in store.directory().iterdir() if path.is_file())
    if size > LARGEST_BUNDLE:
        raise SystemExit(f"the bundled files have {size} bytes, more than {LARGEST_BUNDLE}")
    return {"bundled files, MB": size / 1e6}


def measured(options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """Yield what is measured, and the figures."""
    yield "bundle", bundle()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        key = scratch / "key"
        key.write_text(KEY + "\n", encoding="ascii")
        key.chmod(0o600)
        roots = {
            name: split(source, parts, scratch / name)
            for name, parts in SETS.items()
            if (source := getattr(options, name))
        }
        for strength in options.strength:
            if options.photos:
                yield f"eye, {strength}", eye(options.photos, strength, scratch, key)
            for name, root in roots.items():
                figures = learned(root, name, strength, scratch, key, options.backbone)
                yield f"{name}, {strength}", figures


def strengths(text: str) -> list[Strength]:
    """Return the strengths that are named with commas between."""
    return [Strength(word) for word in text.split(",")]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, help="camera photos")
    parser.add_argument("--faces", type=Path, help="a folder of photos for each person")
    parser.add_argument("--scenes", type=Path, help="a folder of photos for each class")
    parser.add_argument("--backbone", default=JUDGE, help="what judges")
    parser.add_argument("--record", action="store_true", help="write the figures onto the card")
    parser.add_argument("--strength", type=strengths, default=list(Strength), help="with commas between")
    return parser.parse_args(arguments)


def claims() -> dict[str, Figures]:
    """Return the figures that the card of the surrogate states, by what was measured."""
    return {str(entry["what"]): dict(entry["figures"]) for entry in store.load_card(SURROGATE).effect}


def record(found: Mapping[str, Figures]) -> None:
    """Write figures onto the card in the place of those of the same name; what was not measured stays."""
    card = store.load_card(SURROGATE)
    kept = [entry for entry in card.effect if entry["what"] not in found]
    new = [
        {
            "what": what,
            "figures": {name: float(f"{value:.4g}") for name, value in figures.items()},
            "command": COMMAND,
            "conditions": conditions("onnxruntime", "torch", "ssimulacra2"),
        }
        for what, figures in found.items()
    ]
    store.write_card(replace(card, effect=(*kept, *new)), store.directory())


def tolerance(name: str) -> float:
    """Return how far a figure may be off."""
    return next(value for word, value in TOLERANCES.items() if word in name)


def main() -> None:
    """Measure, print, and compare with what the card claims, or record it there."""
    options = parsed()
    claimed = {} if options.record or options.backbone != JUDGE else claims()
    table, off, found = [], [], {}
    for what, figures in measured(options):
        found[what] = figures
        for name, value in figures.items():
            claim = claimed.get(what, {}).get(name)
            said = "" if claim is None else f"{claim:g} ± {tolerance(name):g}"
            table.append([what, name, f"{value:.4g}", said])
            print("\t".join(table[-1]), file=sys.stderr, flush=True)
            if claim is not None and abs(value - claim) > tolerance(name):
                off.append(f"{what}, {name}: {value:.4g} instead of {said}")
    print(markdown(["what", "figure", "measured", "claimed"], table))
    print(conditions("onnxruntime", "torch", "ssimulacra2"))
    left_out = [name for name in ("photos", *SETS) if getattr(options, name) is None]
    if left_out:
        print(f"left out, no data named: {', '.join(left_out)}")
    if options.record:
        record(found)
    if off:
        raise SystemExit("\n".join(["off by more than the tolerance:", *off]))


if __name__ == "__main__":
    main()
