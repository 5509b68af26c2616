"""Make the control of the mask by texture, and look at both.

    ulecli protect scenes/train -o masked --identity-from folder --key-file KEY --mask
    python benchmarks/texture_mask.py control masked -o even
    python benchmarks/texture_mask.py crops
    python benchmarks/texture_mask.py crops "photo 1.jpg:0.3,0.2" photo2.jpg:0.5,0.9 -o crops.png

`control` protects every photo that the ledger of a masked tree names with the same code, and weakens its
delta everywhere alike to the mean amplitude that the mask left; `ulecli evaluate --protected` measures both.
`crops` shows a row for each photo, around a place in shares of its width and height, one pixel for one: the
photo, uniform at --eps, masked at --eps, its control, and masked at 1.5 times --eps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from photographs import fixed_key
from PIL import Image

from ulecli.formats.options import Reading
from ulecli.formats.picture import decode
from ulecli.imaging import texture
from ulecli.imaging.delta import working_image
from ulecli.perturb.perturber import Perturber
from ulecli.protection.ledger import NAME, reading
from ulecli.protection.outcome import Photo
from ulecli.protection.photo import Job, make
from ulecli.surrogates.opening import open_perturber
from ulecli.system.devices import Device

ROOT = Path(__file__).parents[1]
PLACES = ("Küste über Ærø.jpg:0.25,0.3", "dunes.jpg:0.5,0.4", "mountains.jpg:0.3,0.25")
GAP = 6


def evened(delta: NDArray[np.int8], weights: texture.Floats) -> NDArray[np.int8]:
    """Weaken a delta everywhere alike, to the mean amplitude of `texture.masked`."""
    whole = texture.masked(delta, np.ones_like(weights))
    share = np.abs(texture.masked(delta, weights)).mean() / max(np.abs(whole).mean(), 1e-9)
    return texture.masked(delta, np.full_like(weights, share))


def weaken(source: Path, target: Path, code: int, epsilon: int, perturber: Perturber) -> None:
    """Protect a JPEG like the product, but with its delta evened."""
    photo = decode(source, "JPEG").image
    weights = texture.texture_weights(photo)
    images, aspects = working_image(photo, perturber.grid)[None], np.array([photo.width / photo.height])
    delta = perturber(images, np.array([code]), aspects.astype(np.float32), epsilon=epsilon)[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    job = Job(Photo(source, source, "JPEG"), target, epsilon, perturber.grid, Reading(), False)
    make(job, lambda image, aspect: evened(delta, weights))


def control(masked: Path, out: Path) -> None:
    """Make the control of every JPEG of a tree."""
    perturber = open_perturber("photo", device=Device.CPU)
    with reading(masked / NAME) as ledger:
        entries = ledger.entries()
    root = masked.resolve()
    for entry in entries:
        asked = json.loads(entry.parameters)
        target = out / entry.target.resolve().relative_to(root)
        weaken(entry.source, target, asked["code"], asked["epsilon"], perturber)
    print(f"wrote {len(entries)} photos to {out}")


def crops(photos: list[str], out: Path, epsilon: int, size: int, quality: int) -> None:
    """Draw the figure."""
    kinds = {
        "uniform": (epsilon, "--no-mask"),
        "masked": (epsilon, "--mask"),
        "stronger": (epsilon * 3 // 2, "--mask"),
    }
    figure = Image.new("RGB", (5 * size + 4 * GAP, len(photos) * (size + GAP) - GAP), "white")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        key = fixed_key(folder)
        for row, (name, _, place) in enumerate(one.rpartition(":") for one in photos):
            source = Path(name)
            command = [sys.executable, "-m", "ulecli", "protect", str(source), "--key-file", str(key)]
            for kind, (eps, option) in kinds.items():
                options = ["--eps", str(eps), option, "--quiet", "-o", str(folder / kind)]
                subprocess.run([*command, *options], check=True)
            control(folder / "masked", folder / "even")
            shown = [folder / kind / source.name for kind in ("uniform", "masked", "even", "stronger")]
            for column, path in enumerate([source, *shown]):
                picture = decode(path, "JPEG").image
                across, down = (float(share) for share in place.split(","))
                left, top = int(across * picture.width) - size // 2, int(down * picture.height) - size // 2
                crop = picture.crop((left, top, left + size, top + size))
                figure.paste(crop, (column * (size + GAP), row * (size + GAP)))
            (folder / "masked" / NAME).unlink()
    figure.save(out, quality=quality, subsampling=0)
    print(f"wrote {out}")


def main() -> None:
    """Parse the options and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("control")
    one.add_argument("masked", type=Path)
    two = verbs.add_parser("crops")
    one.add_argument("-o", "--output", type=Path, required=True)
    places = [f"{ROOT}/samples/{place}" for place in PLACES]
    two.add_argument("photos", nargs="*", metavar="PHOTO:X,Y", default=places)
    two.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "texture.jpg")
    two.add_argument("--eps", type=int, default=8)
    two.add_argument("--size", type=int, default=200, help="side of a crop, in pixels")
    two.add_argument("--quality", type=int, default=88)
    options = parser.parse_args()
    if options.verb == "control":
        control(options.masked, options.output)
    else:
        crops(options.photos, options.output, options.eps, options.size, options.quality)


if __name__ == "__main__":
    main()
