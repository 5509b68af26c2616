"""Print how large protected photos are beside their sources, and how finely each is quantised.

    python benchmarks/photo_sizes.py
    python benchmarks/photo_sizes.py --photos ~/Pictures/2024
    python benchmarks/photo_sizes.py --quality 60

Runs `ulecli protect` on a folder of JPEGs and compares the files. "step" is the mean quantisation step of the
eight lowest frequencies of the luma: the perturbation lives there, and a finer step keeps more of it.
"chroma" is the sampling of the luma over that of the chroma, across x down; 1x1 keeps all of the colour.
--quality stores the photos at that quality of the JPEG library first, as platforms do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median

from photographs import jpegs_in, parser_for
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from timing import conditions


def kind(path: Path) -> tuple[float, str, str]:
    """Return the luma step, the chroma sampling and the coding of a JPEG."""
    with Image.open(path) as stored:
        assert isinstance(stored, JpegImageFile)
        step = mean(stored.quantization[stored.layer[0][3]][:8])
        across, down = stored.layer[0][1:3]
        return step, f"{across}x{down}", "progressive" if "progressive" in stored.info else "baseline"


def report(source: Path, target: Path) -> None:
    """Print a line for each photo, and the median ratio."""
    print(conditions("ulecli", "pillow"))
    heads = f"{'photo':<28} {'kB':>7} {'kB out':>7} {'ratio':>6} {'step':>6} {'out':>6}"
    print(f"{heads} {'chroma':>7} {'out':>5}  coding")
    ratios = []
    for path in jpegs_in(source):
        after = target / path.relative_to(source)
        before, stored = path.stat().st_size, after.stat().st_size
        ratios.append(stored / before)
        (step, chroma, coding), (step_out, chroma_out, coding_out) = kind(path), kind(after)
        line = f"{path.name[:28]:<28} {before / 1000:>7.0f} {stored / 1000:>7.0f} {ratios[-1]:>6.2f}"
        line += f" {step:>6.2f} {step_out:>6.2f} {chroma:>7} {chroma_out:>5}  {coding}"
        print(line if coding == coding_out else f"{line} -> {coding_out}")
    print(f"median ratio of {len(ratios)}: {median(ratios):.2f}; largest {max(ratios):.2f}")


def main() -> None:
    """Parse the options, protect, and print."""
    parser = parser_for(__doc__)
    parser.add_argument("--quality", type=int, help="store the photos so first")
    options = parser.parse_args()
    source: Path = options.photos
    with tempfile.TemporaryDirectory() as scratch:
        if options.quality:
            (stored := Path(scratch) / "in").mkdir()
            for path in jpegs_in(source):
                with Image.open(path) as photo:
                    photo.save(stored / path.name, quality=options.quality)
            source = stored
        target, key = Path(scratch) / "out", Path(scratch) / "key"
        command = [sys.executable, "-m", "ulecli", "protect", str(source), "-o", str(target)]
        subprocess.run([*command, "--key-file", str(key), "--device", "cpu", "--quiet"], check=True)
        report(source, target)


if __name__ == "__main__":
    main()
