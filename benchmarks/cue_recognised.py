"""Tell in how many photos the surrogate recognises the cue, and in how many one that is not there.

    python benchmarks/cue_recognised.py --photos scenes/train --identities 6
    python benchmarks/cue_recognised.py --photos ~/Pictures/2024 --count 40 --strength subtle

Photos from all over the folder are shared out among a few identities, in their order, and protected in
memory at the default epsilon. Each is then looked at as it is and as platforms pass it on
(`ulecli.imaging.variants`), as `ulecli verify` does: along its own direction; along the one that its identity
has under another key; along that of another identity; and, not protected but stored again, along its own,
where there is nothing to recognise. That a cue is recognised does not show how much it protects, which only
`ulecli evaluate` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from photographs import jpegs_in, parser_for
from PIL import Image
from tables import markdown
from timing import conditions

from ulecli.formats.picture import load
from ulecli.imaging.delta import add_delta, fitting_grid, working_image
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import amplitudes
from ulecli.imaging.variants import VARIANTS, seen, views
from ulecli.perturb.perturber import Perturber
from ulecli.protection.identity import evenly_chosen, seed_of
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import RECOGNISED, CueReader, Reading
from ulecli.system.devices import Device
from ulecli.units import DEFAULT_EPSILON

KEY, OTHER_KEY = bytes(32), bytes([1] * 32)
OWN = "protected, its own direction"
UNDER_OTHER_KEY = "protected, that of another key"
OF_OTHER = "protected, that of another identity"
NOT_PROTECTED = "not protected, its own direction"
ROWS = (OWN, UNDER_OTHER_KEY, OF_OTHER, NOT_PROTECTED)

Floats = NDArray[np.float32]
Found = dict[tuple[str, str], list[Reading]]
"""By row and variant: what the net sees in each photo."""


def direction_of(
    photos: Sequence[Path], name: str, key: bytes, perturber: Perturber, strength: Strength
) -> Floats:
    """Return the direction of an identity (D,), as `ulecli protect` finds it."""
    shown = [load(path)[0] for path in evenly_chosen(photos, perturber.samples)]
    images = np.stack([working_image(photo, perturber.grid) for photo in shown])
    bounds = np.stack([amplitudes(photo, perturber.grid, strength, DEFAULT_EPSILON) for photo in shown])
    return perturber.direction(images, bounds, seed_of(name, key))


def protected(photo: Image.Image, direction: Floats, perturber: Perturber, strength: Strength) -> Image.Image:
    """Return a photo moved along a direction."""
    grid = fitting_grid(photo.size, perturber.grid)
    bounds = amplitudes(photo, grid, strength, DEFAULT_EPSILON)
    aspect = np.array([photo.width / photo.height], np.float32)
    picture = photo.copy()
    small = working_image(photo, grid)[None]
    add_delta(picture, perturber(small, direction[None], bounds[None], aspect)[0])
    return picture


def measure(
    groups: Sequence[Sequence[Path]], perturber: Perturber, reader: CueReader, strength: Strength
) -> Found:
    """Protect the photos of each identity, and look for its direction and for others."""
    names = [f"identity {number}" for number in range(len(groups))]
    own, other_key = (
        [direction_of(*it, key, perturber, strength) for it in zip(groups, names, strict=True)]
        for key in (KEY, OTHER_KEY)
    )
    found: Found = defaultdict(list)
    for number, group in enumerate(groups):
        rows = {OWN: own[number], UNDER_OTHER_KEY: other_key[number], OF_OTHER: own[number - 1]}
        for path in group:
            photo = load(path)[0].convert("RGB")
            before = seen([photo], reader.sight)
            shown = views(protected(photo, own[number], perturber, strength), reader.sight)
            for row, direction in rows.items():
                _add(found, row, reader, before, shown, direction)
            _add(found, NOT_PROTECTED, reader, before, views(photo, reader.sight), own[number])
    return found


def _add(
    found: Found,
    row: str,
    reader: CueReader,
    before: Floats,
    shown: tuple[tuple[str, ...], Floats],
    direction: Floats,
) -> None:
    cue = reader.read(shown[0], before, shown[1], direction)
    for variant, reading in cue.readings.items():
        if (row, variant) != (NOT_PROTECTED, "file"):  # which is the original itself
            found[row, variant].append(reading)


def table(found: Found) -> str:
    """Return the shares that are recognised, and between which values the cosines lie, as Markdown."""
    lines = []
    for row in ROWS:
        cells = [_share(found[row, variant]) for variant in VARIANTS]
        cosines = [it.cosine for variant in VARIANTS for it in found[row, variant]]
        spans = ", ".join(f"{value:.2f}" for value in np.quantile(cosines, (0.01, 0.5, 0.99)))
        lines.append((row, *cells, spans))
    return markdown(("", *VARIANTS, "cosine: 1 %, median, 99 %"), lines)


def _share(readings: Sequence[Reading]) -> str:
    if not readings:
        return "-"
    return f"{np.mean([it.recognised for it in readings]):.0%} of {len(readings)}"


def main() -> None:
    """Parse the options, protect, and print the table."""
    parser = parser_for(__doc__)
    parser.add_argument("--surrogate", default="photo")
    parser.add_argument("--count", type=int, default=60, help="photos at most, evenly spread over the folder")
    parser.add_argument("--identities", type=int, default=2, help="that the photos are shared out among")
    parser.add_argument("--strength", type=Strength, default=Strength.DEFAULT, choices=list(Strength))
    options = parser.parse_args()
    perturber = open_perturber(options.surrogate, device=Device.CPU, threads=1)
    photos = evenly_chosen(jpegs_in(options.photos), options.count)
    if not 2 <= options.identities <= len(photos):
        raise SystemExit("--identities must be 2 or more, and no more than there are photos")
    sizes = np.linspace(0, len(photos), options.identities + 1).round().astype(int)
    groups = [photos[start:end] for start, end in pairwise(sizes)]
    found = measure(groups, perturber, CueReader(options.surrogate), options.strength)
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(
        f"{perturber.label}: {len(photos)} photos of {options.photos.name} for {len(groups)} identities, "
        f"--strength {options.strength}; recognised is a cosine of at least {RECOGNISED}"
    )
    print(table(found))


if __name__ == "__main__":
    main()
