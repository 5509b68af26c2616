"""Time `ulecli protect` on a folder of photos against decoding and encoding them again with Pillow alone.

    python benchmarks/protect_speed.py
    python benchmarks/protect_speed.py --photos ~/Pictures/2024 --jobs 1 2 4 --repeats 5

Both sides run as whole processes, bound to as many cores as they have photos in work at a time, and store
with the same settings: those that ulecli chooses for each source, with its EXIF and colour profile. The
baseline does not sync to the disk and does not read back what it wrote; `ulecli protect` does both. The time
to start is measured by a dry run of each side and subtracted. Repeats alternate between the sides,
and medians are told.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from PIL import Image
from timing import conditions, seconds

from ulecli import codec

FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
LARGE = (4000, 3000)
"""Size of the single large photo: 12 megapixels."""

Command = Callable[[Path, Path, int], list[str]]
"""From source, target and number of jobs to a command line."""


def photos_in(source: Path) -> list[Path]:
    """Return the photos under a folder, sorted."""
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in FORMATS)


def recode(source: Path, target: Path, jobs: int, *, dry: bool) -> None:
    """Be the baseline: decode and encode every photo of a folder, `jobs` at a time."""

    def one(path: Path) -> None:
        picture = codec.decode(path, FORMATS[path.suffix.lower()])
        part = target / path.relative_to(source)
        part.parent.mkdir(parents=True, exist_ok=True)
        codec.encode(picture, picture.image, part)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [] if dry else photos_in(source)))


def baseline(source: Path, target: Path, jobs: int) -> list[str]:
    """Return the command that recodes a folder."""
    return [sys.executable, __file__, "--recode", str(source), str(target), "--jobs", str(jobs)]


def protect(source: Path, target: Path, jobs: int) -> list[str]:
    """Return the command that protects a folder, on the CPU and with a key of its own."""
    key = target.parent / "key"
    options = ["-o", str(target), "--jobs", str(jobs), "--device", "cpu", "--key-file", str(key), "--quiet"]
    return [sys.executable, "-m", "ulecli", "protect", str(source), *options]


def measure(command: Command, source: Path, jobs: int) -> float:
    """Return the seconds that one run takes beyond its start."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = seconds(command(source, Path(scratch) / "out", jobs), cores=jobs)
        start = seconds([*command(source, Path(scratch) / "dry", jobs), "--dry-run"], cores=jobs)
    return whole - start


def compare(source: Path, jobs: int, repeats: int) -> tuple[float, float, float]:
    """Return the median seconds of the baseline and of `ulecli protect`, and the median of their ratios."""
    pairs = [(measure(baseline, source, jobs), measure(protect, source, jobs)) for _ in range(repeats)]
    plain, protected = zip(*pairs, strict=True)
    return median(plain), median(protected), median(mine / theirs for theirs, mine in pairs)


def enlarge(photo: Path, folder: Path) -> None:
    """Write a photo of 12 megapixels, made from a smaller one, into a folder of its own."""
    folder.mkdir()
    with Image.open(photo) as image:
        large = image.convert("RGB").resize(LARGE, Image.Resampling.LANCZOS)
    large.save(folder / "large.jpg", quality=92)


def report(source: Path, jobs: list[int], repeats: int) -> None:
    """Measure and print the table."""
    photos = photos_in(source)
    if not photos:
        raise SystemExit(f"there is no photo in {source}; name a folder with --photos")
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(f"{len(photos)} photos of {source.name}, median of {repeats} runs, start-up subtracted")
    print(f"{'photos':>8} {'jobs':>5} {'Pillow s':>9} {'ulecli s':>9} {'photos/s':>9} {'ratio':>6}")
    for workers in jobs:
        plain, mine, ratio = compare(source, workers, repeats)
        rate = len(photos) / mine
        print(
            f"{len(photos):>8} {workers:>5} {plain:>9.2f} {mine:>9.2f} {rate:>9.1f} {ratio:>6.2f}", flush=True
        )
    with tempfile.TemporaryDirectory() as scratch:
        large = Path(scratch) / "large"
        enlarge(photos[0], large)
        plain, mine, ratio = compare(large, 2, repeats)
    print(f"{'12 MP':>8} {2:>5} {plain:>9.2f} {mine:>9.2f} {1 / mine:>9.1f} {ratio:>6.2f}")


def main() -> None:
    """Parse the options; the hidden ones make this process the baseline."""
    shared = Path(os.environ.get("ULECLI_SHARED", "../shared"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, default=shared / "photos", help="default: photos in ULECLI_SHARED or ../shared"
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4], help="photos in work at a time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--recode", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.recode:
        source, target = options.recode
        recode(source, target, options.jobs[0], dry=options.dry_run)
    else:
        report(options.photos, options.jobs, options.repeats)


if __name__ == "__main__":
    main()
