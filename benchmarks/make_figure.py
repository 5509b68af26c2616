"""Make the picture of the README: a sample, its perturbation, and the protected sample.

    python benchmarks/make_figure.py
    python benchmarks/make_figure.py photo.jpg -o figure.jpg --height 300

The photo is protected by the command itself, with a fixed key. The perturbation is the difference of the two
files' pixels times 255 / (2 epsilon), around middle gray, so that +epsilon is white and -epsilon black.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from photographs import fixed_key
from PIL import Image, ImageOps


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(__file__).parents[1]
    parser.add_argument("photo", nargs="?", type=Path, default=root / "samples" / "mountains.jpg")
    parser.add_argument("-o", "--output", type=Path, default=root / "benchmarks" / "figure.jpg")
    parser.add_argument("--eps", type=int, default=8, help="in levels")
    parser.add_argument("--height", type=int, default=280, help="of the figure, in pixels")
    return parser.parse_args()


def protect(photo: Path, folder: Path, epsilon: int) -> Path:
    """Protect a lossless copy of the photo, so that the difference is the perturbation and nothing else."""
    source = folder / "source.png"
    with Image.open(photo) as picture:
        ImageOps.exif_transpose(picture).convert("RGB").save(source)
    command = [sys.executable, "-m", "ulecli", "protect", str(source), "-o", str(folder / "out")]
    options = ["--eps", str(epsilon), "--key-file", str(fixed_key(folder)), "--quiet"]
    subprocess.run([*command, *options], check=True)
    return folder / "out" / "source.png"


def main() -> None:
    """Make the figure."""
    options = read_options()
    with tempfile.TemporaryDirectory() as scratch:
        protected = Image.open(protect(options.photo, Path(scratch), options.eps)).convert("RGB")
        original = Image.open(Path(scratch) / "source.png").convert("RGB")
    change = np.asarray(protected, np.int16) - np.asarray(original, np.int16)
    shown = np.clip(127.5 + change * 127.5 / options.eps, 0, 255).astype(np.uint8)
    panels = [original, Image.fromarray(shown), protected]
    width = round(original.width * options.height / original.height)
    figure = Image.new("RGB", (3 * width + 16, options.height), "white")
    for number, panel in enumerate(panels):
        small = panel.resize((width, options.height), Image.Resampling.LANCZOS)
        figure.paste(small, (number * (width + 8), 0))
    figure.save(options.output, quality=92, subsampling=0)
    print(f"wrote {options.output}: largest change {np.abs(change).max()} of {options.eps} levels")


if __name__ == "__main__":
    main()
