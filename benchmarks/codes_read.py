"""Tell how many of the codes that photos are given the surrogate itself reads in the protected pictures.

    python benchmarks/codes_read.py --photos scenes/train
    python benchmarks/codes_read.py --photos ~/Pictures/2024 --count 20

Photos from all over the folder are protected with every code of the surrogate, in memory and without storing
them, at the default epsilon. A code reads if its net sees no other of its family more surely. That a code
reads does not show how much it protects, which only `ulecli evaluate` does; one that does not read is no cue.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from photographs import jpegs_in, parser_for
from timing import conditions

from ulecli.formats.picture import load
from ulecli.imaging.delta import add_delta, working_image
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import CueReader
from ulecli.system.cores import usable_cores
from ulecli.units import DEFAULT_EPSILON


def read_codes(path: Path, surrogate: str) -> list[tuple[bool, bool]]:
    """Protect a photo with every code; return for each whether it is recognised and whether it is guessed."""
    perturber, reader = open_perturber(surrogate), CueReader(surrogate)
    photo, _ = load(path)
    small = working_image(photo, perturber.grid)[None]
    aspect = np.array([photo.width / photo.height], np.float32)
    reported = []
    for code in range(perturber.codes):
        picture = photo.copy()
        add_delta(picture, perturber(small, np.array([code]), aspect, epsilon=DEFAULT_EPSILON)[0])
        reported.append((reader.cue(picture, code).readings["file"].reads, reader.cue(picture).code == code))
    return reported


def main() -> None:
    """Parse the options, protect, and print the shares."""
    parser = parser_for(__doc__)
    parser.add_argument("--surrogate", default="photo")
    parser.add_argument("--count", type=int, default=48, help="photos, evenly spread over the folder")
    options = parser.parse_args()
    found = jpegs_in(options.photos)
    photos = [found[place] for place in np.linspace(0, len(found) - 1, options.count).round().astype(int)]
    with ProcessPoolExecutor(usable_cores()) as workers:
        reported = np.array(list(workers.map(partial(read_codes, surrogate=options.surrogate), photos)))
    reads, guessed = reported[..., 0], reported[..., 1]
    shares = 100 * reads.mean(axis=0)
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(
        f"{options.surrogate}: {len(photos)} photos of {options.photos.name} under {len(shares)} codes each"
    )
    print(f"of all, {reads.mean():.1%} read; of the photos under one code {shares.min():.0f} % at least")
    print(f"without knowing the family of codes the right one of all is named in {guessed.mean():.1%}")
    worst = ", ".join(f"{code} ({shares[code]:.0f} %)" for code in np.argsort(shares, kind="stable")[:5])
    print(f"the codes that read least: {worst}")


if __name__ == "__main__":
    main()
