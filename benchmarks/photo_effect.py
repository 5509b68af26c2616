"""Measure what `ulecli protect` does to a classifier that trains on the protected photos, file by file.

    python benchmarks/photo_effect.py
    python benchmarks/photo_effect.py --data ~/scenes --seeds 0,1,2 --json runs/photo_effect/photo.json
    python benchmarks/photo_effect.py --quick

DATA holds `train` and `test`, each with a folder of photos for each class. The training photos are protected
by the command itself, from files to files, with the folder's name as identity. An upload stores these files
once more as JPEG 4:2:0 of the quality in its name. The exploiter reads them, squeezes them to 64 x 64 and
trains a small net from scratch (`ulecli.exploit.PHOTOS`); the table tells its accuracy on clean test photos
after the last epoch, and the best after any epoch. Two controls go through `--control-uploads`: the photos as
they are, and photos with random signs of the same epsilon, drawn anew for each photo on the surrogate's grid,
tied across RGB, carried to full size and stored by the same code as the surrogate's delta. Signs drawn at
full size would vanish when the photo is squeezed; on the grid they last as the protection does.

The second table is one class protected among others that are not, all through the first upload that is JPEG:
its figures are recalls, the share of a class's clean test photos that the exploiter recognises.

Not measured: other exploiters, larger pictures, a pretrained net, and whoever knows how the photos were made.
Finished arms are kept in `OUT/results.jsonl` and not trained again; remove OUT to start anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tables import Journal, Row, exploited, markdown, spread, write_json

from ulecli import shelf
from ulecli.data import SUFFIXES, ImageSet, image_folder
from ulecli.exploit import PHOTOS
from ulecli.protection import protect as protect_photos
from ulecli.records import ProtectConfig
from ulecli.report import summary_record
from ulecli.views import Floats

KEY = "75" * 32
"""The user's key of this benchmark, in the key file's hex digits: fixed and known to all, so that every run
gives the classes the same codes. A person's own key is drawn at random and kept secret."""

SIDE = PHOTOS.augment.sizes[0]
EXPLOITERS = {"standard": "none", "gray": "gray"}
"""Name in the table and countermeasure."""


@dataclass(frozen=True)
class Upload:
    """What happens to a file on its way to the exploiter.

    Attributes:
        name: "none", or "q" and the JPEG quality.
        quality: 1 to 100; 0 for a file that stays what it is.
    """

    name: str
    quality: int = 0

    @classmethod
    def parse(cls, name: str) -> Upload:
        """Read the name; raises ValueError where it is none."""
        if name == "none":
            return cls(name)
        if name[:1] != "q" or not 1 <= int(name[1:]) <= 100:
            raise ValueError
        return cls(name, int(name[1:]))


def each_photo(root: Path, work: Callable[[Path, int], None], jobs: int) -> None:
    """Call `work` with every photo under `root` and its number in the order of paths."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, paths, range(len(paths))))


def place(path: Path, source: Path, target: Path) -> Path:
    """Return where a photo of the tree `source` goes in the tree `target`, in a folder that exists."""
    part = target / path.relative_to(source)
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def uploaded(tree: Path, upload: Upload, jobs: int) -> ImageSet:
    """Read a tree of photos as the exploiter has it after an upload."""
    if not upload.quality:
        return image_folder(tree, SIDE)
    with tempfile.TemporaryDirectory() as scratch:

        def store(path: Path, _: int) -> None:
            part = place(path, tree, Path(scratch))
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            name = part.with_name(part.name + ".jpg")
            upright.save(name, "JPEG", quality=upload.quality, subsampling="4:2:0")

        each_photo(tree, store, jobs)
        return image_folder(Path(scratch), SIDE)


def protect(source: Path, out: Path, options: argparse.Namespace) -> tuple[Path, Row]:
    """Protect a tree with the command, unless this was done, and return the new tree and its summary."""
    card = (shelf.directory() / f"{options.surrogate}.json").read_bytes()
    name = f"{options.surrogate}-{shelf.sha256_of(card)[:8]}-eps{options.eps}"
    target, record = out / name, out / f"{name}.json"
    if record.exists():
        return target, json.loads(record.read_text(encoding="utf-8"))
    key = out / "key"
    key.touch(mode=0o600)
    key.write_text(options.key + "\n", encoding="ascii")
    if target.exists():  # of a run that was interrupted
        shutil.rmtree(target)
    command = [sys.executable, "-m", "ulecli", "protect", str(source), "-o", str(target)]
    command += ["--identity-from", "folder", "--key-file", str(key), "--eps", str(options.eps)]
    command += ["--surrogate", options.surrogate, "--jobs", str(options.jobs), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    summary: Row = json.loads(done.stdout.splitlines()[-1])
    record.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return target, summary


class Noise:
    """A perturber that learns nothing: random signs at the bound, drawn anew for each photo.

    Attributes:
        grid: That of the surrogate which it is compared with.
        codes: As many as that surrogate's; they don't matter here.
        families: One.
        device: What does the work, in words.
        label: What it is called in a summary.
        sha256: None that means anything.
    """

    device = "cpu (numpy)"
    label = "random signs"
    sha256 = ""
    families = 1

    def __init__(self, grid: int, codes: int) -> None:
        self.grid, self.codes = grid, codes

    def __call__(
        self, images: Floats, codes: NDArray[np.int64], aspects: Floats, *, epsilon: int
    ) -> NDArray[np.int8]:
        """Return (N, 1, S, S) signs times epsilon; see `ulecli.records.Perturber`."""
        drawn = [np.random.default_rng(zlib.crc32(image.tobytes())) for image in images]
        signs = [rng.choice([-1, 1], (1, self.grid, self.grid)) for rng in drawn]
        return (epsilon * np.stack(signs)).astype(np.int8)


def add_noise(source: Path, out: Path, options: argparse.Namespace) -> Path:
    """Protect a tree with random signs on the surrogate's grid instead, and return the new tree."""
    card = shelf.load_card(options.surrogate)
    noise = Noise(int(card.protocol["grid"]), int(card.net["classes"]))
    target = out / f"noise-{noise.grid}-eps{options.eps}"
    record = target.with_suffix(".json")
    if not record.exists():
        if target.exists():  # of a run that was interrupted
            shutil.rmtree(target)
        config = ProtectConfig(
            (source,), target, options.eps, key_file=out / "key", surrogate=noise.label, jobs=options.jobs
        )
        summary = summary_record(protect_photos(config, noise))
        record.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return target


def one_of(protected: ImageSet, clean: ImageSet, label: int) -> ImageSet:
    """Return the clean set with one class taken from the protected one."""
    if not torch.equal(protected.labels, clean.labels):
        raise SystemExit("the protected tree does not hold the photos of the clean one")
    swapped = (clean.labels == label)[:, None, None, None]
    return replace(clean, images=torch.where(swapped, protected.images, clean.images))


class Bench:
    """The arms of one run.

    Attributes:
        summary: What the command said of its run.
        test: Clean test photos.
        train: From arm and upload to what the exploiter has.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        source = options.data / "train"
        options.out.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._journal = Journal(options.out / "results.jsonl")
        self.test = image_folder(options.data / "test", SIDE)
        protected, self.summary = protect(source, options.out, options)
        trees = {"clean": source, "noise": add_noise(source, options.out, options), "protected": protected}
        self.train = cache(lambda arm, upload: uploaded(trees[arm], upload, options.jobs))

    def _run(self, name: str, images: ImageSet, exploiter: str, seeds: Sequence[int]) -> list[Row]:
        config = replace(PHOTOS, countermeasure=EXPLOITERS[exploiter])
        return [exploited(self._journal, name, images, self.test, config, seed) for seed in seeds]

    def effect(self) -> list[Row]:
        """Train on all photos of each arm."""
        options = self._options
        cases = [(arm, upload) for arm in ("clean", "noise") for upload in options.control_uploads]
        cases += [("protected", upload) for upload in options.upload]
        rows = []
        for arm, upload in cases:
            for exploiter in options.exploiters:
                images = self.train(arm, upload)
                runs = self._run(f"{arm}, upload {upload.name}", images, exploiter, options.seeds)
                rows.append({"arm": arm, "upload": upload.name, "exploiter": exploiter, "runs": runs})
        return rows

    def single(self) -> list[Row]:
        """Train on photos of which one class is protected, for each class; noise for the first alone."""
        options = self._options
        upload = next((one for one in options.upload if one.quality), options.upload[0])
        clean = self.train("clean", upload)
        labels = range(1 if options.quick else len(clean.classes))
        arms: list[tuple[str, int | None]] = [("clean", None), ("noise", 0)]
        arms += [("protected", label) for label in labels]
        rows = []
        for arm, label in arms:
            images = clean if label is None else one_of(self.train(arm, upload), clean, label)
            whose = None if label is None else clean.classes[label]
            name = f"{arm} {whose or 'all'}, upload {upload.name}"
            runs = self._run(name, images, "standard", options.single_seeds)
            rows.append({"arm": arm, "class": whose, "upload": upload.name, "runs": runs})
        return rows


def effect_table(rows: Sequence[Row], exploiters: Sequence[str]) -> str:
    """Return last-epoch and peak accuracy of each arm, one line each."""
    lines: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for figure in ("last", "peak"):
            cell = spread([run[figure] for run in row["runs"]])
            lines.setdefault((row["arm"], row["upload"]), []).append(cell)
    headers = ["training photos", "upload"]
    for exploiter in exploiters:
        headers += [exploiter, f"{exploiter}, peak"]
    return markdown(headers, [[*case, *cells] for case, cells in lines.items()])


def single_table(rows: Sequence[Row], classes: Sequence[str]) -> str:
    """Return the recall of each class, one line for each class that was changed; its own is in bold."""
    lines = []
    for row in rows:
        recalls = [spread([run["recalls"][label] for run in row["runs"]]) for label in range(len(classes))]
        if row["class"]:
            own = classes.index(row["class"])
            recalls[own] = f"**{recalls[own]}**"
        changed = f"{row['class']}: {row['arm']}" if row["class"] else "none"
        lines.append([changed, *recalls])
    return markdown(["changed", *classes], lines)


def report(options: argparse.Namespace) -> None:
    """Run all arms, print the tables and write the figures."""
    torch.set_num_threads(options.jobs)
    bench = Bench(options)
    effect, single = bench.effect(), bench.single()
    train = bench.train("protected", options.upload[0])
    told: dict[str, Any] = {
        "surrogate": bench.summary["surrogate"],
        "epsilon": options.eps,
        "key": options.key,
        "n_train": len(train),
        "n_test": len(bench.test),
        "seeds": options.seeds,
        "single_seeds": options.single_seeds,
        "protect": bench.summary,
        "effect": effect,
        "single": single,
    }
    path = options.json or options.out / f"{options.surrogate}.json"
    write_json(path, told, "ulecli", "torch", "numpy", "pillow", "onnxruntime")
    print(f"\nSurrogate {told['surrogate']}, epsilon {options.eps}, {len(train)} training photos of")
    print(f"{len(train.classes)} classes, {len(bench.test)} clean test photos, seeds {options.seeds}")
    print(f"(one class protected: {options.single_seeds}). psnr_db_mean {bench.summary['psnr_db_mean']}.")
    print(json.loads(path.read_text(encoding="utf-8"))["conditions"])
    print(f"\nAccuracy on clean test photos, in %:\n\n{effect_table(effect, options.exploiters)}")
    print(f"\nRecall of each class, in %:\n\n{single_table(single, train.classes)}")


def parse() -> argparse.Namespace:
    """Read the command line."""

    def seeds(text: str) -> list[int]:
        return [int(seed) for seed in text.split(",")]

    def uploads(text: str) -> list[Upload]:
        return [Upload.parse(name) for name in text.split(",")]

    shared = Path(os.environ.get("ULECLI_SHARED", "../shared"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=shared / "intel6", help="default: intel6 in ULECLI_SHARED or ../shared")
    add("--surrogate", default="photo")
    add("--eps", type=int, default=8, help="in levels")
    add("--key", default=KEY, help="64 hex digits; another key, another OUT: it chooses the family of codes")
    add("--seeds", type=seeds, default=[0, 1, 2], help="of the exploiter")
    add("--single-seeds", type=seeds, default=[0], help="of the exploiter where one class is protected")
    add("--upload", type=uploads, default=uploads("none,q90,q85,q75"), help="default: none,q90,q85,q75")
    add("--control-uploads", type=uploads, default=uploads("q90"), help="default: q90")
    add("--out", type=Path, default=Path("runs/photo_effect"), help="protected photos and finished arms")
    add("--json", type=Path, help="figures with their conditions; default: SURROGATE.json in OUT")
    add("--jobs", type=int, default=torch.get_num_threads(), help="photos at a time, threads of a training")
    add("--quick", action="store_true", help="one seed, one upload, one exploiter, one single class")
    options = parser.parse_args()
    options.exploiters = list(EXPLOITERS)
    if options.quick:
        options.seeds, options.single_seeds, options.exploiters = [0], [0], ["standard"]
        options.upload = options.control_uploads = uploads("q90")
    return options


if __name__ == "__main__":
    report(parse())
