"""Time `ulecli protect` on a folder of photos against decoding and encoding them again with Pillow alone.

    python benchmarks/protect_speed.py
    python benchmarks/protect_speed.py --photos ~/Pictures/2024 --jobs 1 2 4 --repeats 5
    python benchmarks/protect_speed.py --device cuda --jobs 4 8 16
    python benchmarks/protect_speed.py --stand-in 50

Both sides run as whole processes, bound to as many cores as they have photos in work at a time, and store
with the same settings: those that ulecli chooses for each source, with its EXIF and colour profile. The
baseline decodes to RGB as Pillow does by itself, does not sync to the disk and reads nothing back; `ulecli
protect` syncs every photo and reads one in 32 back. A few photos are taken several times, so that what
happens once weighs little. The time to start, worker processes included, is that of a run over tiny
pictures, one for each job, and is subtracted from each side. Repeats alternate between the sides, and
medians are reported. With --stand-in no surrogate is needed: matrix products that cost one core so many
milliseconds for each photo take its place.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from photographs import parser_for
from PIL import Image
from timing import conditions, seconds

from ulecli.formats.picture import decode, encode
from ulecli.protection.config import ProtectConfig
from ulecli.protection.run import protect

FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
LARGE = (4000, 3000)
"""Size of the large photo: 12 megapixels."""

LEAST, LARGE_COPIES = 96, 32
"""Files of a run at least."""

Command = Callable[[Path, Path, int], list[str]]
"""From source, target and number of jobs to a command line."""


def photos_in(source: Path) -> list[Path]:
    """Return the photos under a folder, sorted."""
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in FORMATS)


def recode(source: Path, target: Path, jobs: int) -> None:
    """Be the baseline: decode and encode every photo of a folder, `jobs` at a time."""

    def one(path: Path) -> None:
        picture = decode(path, FORMATS[path.suffix.lower()])
        picture.settings["exif"] = picture.exif
        part = target / path.relative_to(source)
        part.parent.mkdir(parents=True, exist_ok=True)
        encode(picture, picture.image, part)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, photos_in(source)))


def baseline(source: Path, target: Path, jobs: int) -> list[str]:
    """Return the command that recodes a folder."""
    return [sys.executable, __file__, "--recode", str(source), str(target), "--jobs", str(jobs)]


def protect_on(device: str) -> Command:
    """Return a command that protects a folder on a device, with a key of its own."""

    def command(source: Path, target: Path, jobs: int) -> list[str]:
        options = ["--jobs", str(jobs), "--device", device, "--key-file", str(target.parent / "key")]
        return [
            sys.executable,
            "-m",
            "ulecli",
            "protect",
            str(source),
            "-o",
            str(target),
            *options,
            "--quiet",
        ]

    return command


class StandIn:
    """A `Perturber` that costs a given time of a core per photo, not counting the time others have it."""

    grid, samples, device, label = 128, 1, "cpu (stand-in)", "stand-in 00000000"
    sha256 = "0" * 64

    def __init__(self, milliseconds: float) -> None:
        self.cost = milliseconds / 1000

    def direction(
        self, images: NDArray[np.float32], amplitudes: NDArray[np.float32], seed: int
    ) -> NDArray[np.float32]:
        """Return a direction at no cost."""
        return np.ones(1, np.float32)

    def __call__(
        self,
        images: NDArray[np.float32],
        directions: NDArray[np.float32],
        amplitudes: NDArray[np.float32],
        aspects: NDArray[np.float32],
    ) -> NDArray[np.int8]:
        """Return noise in the place of delta."""
        end = time.thread_time() + self.cost * len(images)
        product = images[0, 0]
        while time.thread_time() < end:
            product = np.tanh(product @ images[0, 0])
        noise = np.random.default_rng(0).uniform(-1, 1, amplitudes.shape)
        return np.rint(noise * amplitudes).astype(np.int8)

    def recognised(
        self, images: NDArray[np.float32], directions: NDArray[np.float32], deltas: NDArray[np.int8]
    ) -> NDArray[np.bool_]:
        """Say that nothing is recognised, at no cost."""
        return np.zeros(len(images), bool)


def stand_in(milliseconds: float) -> Command:
    """Return a command that protects a folder with a `StandIn` in place of the surrogate."""

    def command(source: Path, target: Path, jobs: int) -> list[str]:
        options = ["--stand-in", str(milliseconds), "--jobs", str(jobs)]
        return [sys.executable, __file__, "--protect", str(source), str(target), *options]

    return command


def protect_in_process(source: Path, target: Path, jobs: int, milliseconds: float) -> None:
    """Be `ulecli protect` with a stand-in for the surrogate."""
    key = target.parent / "key"
    config = ProtectConfig((source,), target, jobs=jobs, key_file=key)
    report = protect(config, StandIn(milliseconds))
    if report.exit_code:
        raise SystemExit("a photo could not be protected")


def measure(command: Command, source: Path, jobs: int) -> float:
    """Return the seconds that one run takes beyond its start."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny = Path(scratch) / "tiny"
        tiny.mkdir()
        for number in range(jobs):
            Image.new("RGB", (16, 16)).save(tiny / f"{number}.jpg")
        whole = seconds(command(source, Path(scratch) / "out", jobs), cores=jobs)
        start = seconds(command(tiny, Path(scratch) / "none", jobs), cores=jobs)
    return whole - start


def compare(command: Command, source: Path, jobs: int, repeats: int) -> tuple[float, float, float]:
    """Return the median seconds of the baseline and of a command, and the median of their ratios."""
    pairs = [(measure(baseline, source, jobs), measure(command, source, jobs)) for _ in range(repeats)]
    plain, protected = zip(*pairs, strict=True)
    return median(plain), median(protected), median(mine / theirs for theirs, mine in pairs)


def enlarge(photo: Path, target: Path) -> None:
    """Write a photo of 12 megapixels, made from another one."""
    with Image.open(photo) as image:
        large = image.convert("RGB").resize(LARGE, Image.Resampling.LANCZOS)
    large.save(target, quality=92)


def multiply(photos: list[Path], folder: Path, least: int) -> Path:
    """Copy photos into a new folder, as often as it takes for so many files, and return it."""
    folder.mkdir()
    for turn in range(-(-least // len(photos))):
        for photo in photos:
            shutil.copyfile(photo, folder / f"{turn} {photo.name}")
    return folder


def report(command: Command, source: Path, jobs: list[int], repeats: int) -> None:
    """Measure and print the table."""
    photos = photos_in(source)
    if not photos:
        raise SystemExit(f"there is no photo in {source}; name a folder with --photos")
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(f"{len(photos)} photos of {source.name}, median of {repeats} runs, start-up subtracted")
    print(f"{'photos':>8} {'jobs':>5} {'Pillow s':>9} {'ulecli s':>9} {'photos/s':>9} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as scratch:
        if len(photos) < LEAST:
            source = multiply(photos, Path(scratch) / "photos", LEAST)
        large = Path(scratch) / "large.jpg"
        enlarge(photos[0], large)
        runs = [("all", source, workers) for workers in jobs]
        for name, folder, workers in [
            *runs,
            ("12 MP", multiply([large], Path(scratch) / "large", LARGE_COPIES), 2),
        ]:
            plain, mine, ratio = compare(command, folder, workers, repeats)
            rate = len(photos_in(folder)) / mine
            print(f"{name:>8} {workers:>5} {plain:>9.2f} {mine:>9.2f} {rate:>9.1f} {ratio:>6.2f}", flush=True)


def main() -> None:
    """Parse the options; the hidden ones make this process the baseline."""
    parser = parser_for(__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4], help="photos in work at a time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="where the perturbations are made")
    parser.add_argument(
        "--stand-in", type=float, metavar="MS", help="cost of a photo in place of a surrogate"
    )
    parser.add_argument("--protect", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--recode", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.recode:
        source, target = options.recode
        recode(source, target, options.jobs[0])
    elif options.protect:
        source, target = options.protect
        protect_in_process(source, target, options.jobs[0], options.stand_in)
    else:
        command = protect_on(options.device) if options.stand_in is None else stand_in(options.stand_in)
        report(command, options.photos, options.jobs, options.repeats)


if __name__ == "__main__":
    main()
