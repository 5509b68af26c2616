"""Compose photos with a person on a tenth of the width, protect them whole, and cut the person out again.

    python benchmarks/crops.py --faces orl_faces --photos ~/Pictures/2024 -o crops
    ulecli evaluate --dataset crops/faces --protected crops/faces-protected --only each --size 128

Exploiters train on crops: a detector finds the face, and only that is kept. A protection that is made for the
whole photo has to be in such a crop too. FACES holds one folder of pictures for each person, as the ORL faces
do; every fifth picture of a person becomes a test picture, which is never protected. Each face is pasted,
with soft edges, on one of the PHOTOS at a place drawn by --seed, and the whole is stored as JPEG. What stands
behind -- goes to `ulecli protect` as it is, for instance `-- --eps 4`; without --key-file there, a fixed key
is taken. OUT gets the photos, `whole` and `whole-protected`, and the crops, `faces` and
`faces-protected`, which are stored as JPEG of the same quality.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photographs import fixed_key, jpegs_in, parser_for
from PIL import Image, ImageFilter

from ulecli.data.folder import list_pictures, read_picture

EDGE = 0.06
"""Width of the soft edge of a pasted face, as a share of the face's."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Composer:
    """How faces are put on photos.

    Attributes:
        photos: What faces are pasted on, in turn.
        side: Long side that these are shrunk to, in pixels; 0 for their own.
        fraction: Width of a face as a share of the photo's.
        quality: Of the JPEG.
        seed: Decides the places.
    """

    photos: tuple[Path, ...]
    side: int
    fraction: float
    quality: int
    seed: int

    def composed(self, face: Path, number: int) -> tuple[Image.Image, Box]:
        """Return a photo with a face on it, and where.

        Args:
            face: The picture of a face.
            number: Of all pictures; decides the photo and, with the seed, the place.
        """
        photo = read_picture(self.photos[number % len(self.photos)]).convert("RGB")
        if self.side:
            photo.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        person = read_picture(face).convert("RGB")
        width = round(photo.width * self.fraction)
        height = round(width * person.height / person.width)
        if width < 1 or height > photo.height:
            raise SystemExit(f"{face} does not fit on {photo.width} x {photo.height} pixels: see --fraction")
        rng = np.random.default_rng([self.seed, number])
        left, top = (int(rng.integers(0, room + 1)) for room in (photo.width - width, photo.height - height))
        person = person.resize((width, height), Image.Resampling.BICUBIC)
        photo.paste(person, (left, top), soft_mask(width, height))
        return photo, (left, top, left + width, top + height)


def soft_mask(width: int, height: int) -> Image.Image:
    """Return the opacity of a pasted face: none at its border, all of it inside."""
    edge = max(1, round(width * EDGE))
    inside = Image.new("L", (max(1, width - 2 * edge), max(1, height - 2 * edge)), 255)
    mask = Image.new("L", (width, height), 0)
    mask.paste(inside, (edge, edge))
    return mask.filter(ImageFilter.GaussianBlur(edge / 2))


def compose(faces: Path, out: Path, composer: Composer, test_every: int) -> dict[str, Box]:
    """Write the whole photos to `out/train` and `out/test`; return where the faces are, by path in `out`."""
    boxes: dict[str, Box] = {}
    for person, pictures in list_pictures(faces).items():
        for number, picture in enumerate(pictures):
            part = "test" if number % test_every == 1 else "train"
            name = f"{part}/{person}/{picture.stem}.jpg"
            photo, boxes[name] = composer.composed(picture, len(boxes))
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            photo.save(path, quality=composer.quality)
    return boxes


def cut(whole: Path, boxes: dict[str, Box], out: Path, quality: int) -> None:
    """Write the part of each photo in `whole` that its box holds, under the same path in `out`."""
    for name, box in boxes.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        read_picture(whole / name).convert("RGB").crop(box).save(path, quality=quality)


def main() -> None:
    """Parse the options, compose, protect and cut."""
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = parser_for(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="one folder of pictures for each person")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--fraction", type=float, default=0.1, help="of the photo's width; default 0.1")
    parser.add_argument("--side", type=int, default=2048, help="long side of the photos; 0 for their own")
    parser.add_argument("--quality", type=int, default=85, help="of the JPEGs; default 85")
    parser.add_argument("--test-every", type=int, default=5, help="each so many pictures one is for testing")
    parser.add_argument("--seed", type=int, default=0, help="decides where faces are pasted")
    options = parser.parse_args(own)
    out: Path = options.output
    if out.exists():
        raise SystemExit(f"{out} exists: name a folder that is not there yet, or remove it")
    if not 0 < options.fraction <= 1 or options.test_every < 2:
        raise SystemExit("--fraction is above 0, up to 1, and --test-every 2 or more")
    photos = tuple(jpegs_in(options.photos))
    composer = Composer(photos, options.side, options.fraction, options.quality, options.seed)
    boxes = compose(options.faces, out / "whole", composer, options.test_every)
    train = {name.removeprefix("train/"): box for name, box in boxes.items() if name.startswith("train/")}
    command = [sys.executable, "-m", "ulecli", "protect", str(out / "whole" / "train")]
    command += ["-o", str(out / "whole-protected"), "--identity-from", "folder"]
    command += more if "--key-file" in more else ["--key-file", str(fixed_key(out)), *more]
    subprocess.run(command, check=True)
    cut(out / "whole", boxes, out / "faces", options.quality)
    cut(out / "whole-protected", train, out / "faces-protected", options.quality)
    trees = f"--dataset {out / 'faces'} --protected {out / 'faces-protected'}"
    print(f"ulecli evaluate {trees} --only each --size 128")


if __name__ == "__main__":
    main()
