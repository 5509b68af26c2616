"""Show where the time of `ulecli protect` goes: milliseconds of each stage of a photo, in one process.

    python benchmarks/protect_stages.py
    python benchmarks/protect_stages.py --photos ~/Pictures/2024 --device cuda

Each photo of the folder goes through the stages of `ulecli.protection.photo` one after the other, and beside
them through what a plain decode and encode by Pillow takes. With `--device cuda` the perturbations are made
there, one photo at a time and in batches of 64, and torchvision decodes the same JPEGs on the GPU: what
could be gained by that is the line beside Pillow's. The direction of an identity is found once and then holds
for all of its photos: its time is shared out among those of the folder, as if they were of one identity.
Medians over the repeats; milliseconds are means over the photos.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from photographs import jpegs_in, parser_for
from PIL import Image
from timing import bound, conditions

from ulecli.formats.memory import Memory
from ulecli.formats.picture import decode, encode
from ulecli.imaging.delta import add_delta, working_image
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import amplitudes
from ulecli.protection.identity import evenly_chosen
from ulecli.surrogates.feature_perturber import FeaturePerturber
from ulecli.surrogates.opening import open_perturber
from ulecli.system.atomic import sync
from ulecli.system.devices import Device
from ulecli.system.fingerprint import file_sha256
from ulecli.units import DEFAULT_EPSILON

BATCH = 64
MEMORY = Memory()
STAGES = (
    "hash the source",
    "decode",
    "working image",
    "amplitudes",
    "direction",
    "perturb",
    "recognise",
    "add",
    "encode",
    "sync",
    "hash the result",
)
PLAIN = ("Pillow decode", "Pillow encode")

Clock = dict[str, float]
Floats = NDArray[np.float32]


@contextmanager
def timed(clock: Clock, stage: str) -> Iterator[None]:
    """Add the seconds of a block to a stage."""
    start = time.perf_counter()
    yield
    clock[stage] += time.perf_counter() - start


def direction_of(photos: list[Path], perturber: FeaturePerturber, clock: Clock) -> Floats:
    """Find the direction of an identity; to read its photos for that counts too."""
    with timed(clock, "direction"):
        shown = [
            decode(path, "JPEG", memory=MEMORY).image for path in evenly_chosen(photos, perturber.samples)
        ]
        images = np.stack([working_image(photo, perturber.grid) for photo in shown])
        bounds = np.stack([bounds_of(photo, perturber) for photo in shown])
        return perturber.direction(images, bounds, seed=0)


def bounds_of(image: Image.Image, perturber: FeaturePerturber) -> Floats:
    """Return how far each cell of a photo may be moved, (1, S, S) levels."""
    return amplitudes(image, perturber.grid, Strength.DEFAULT, DEFAULT_EPSILON)


def one_photo(path: Path, perturber: FeaturePerturber, direction: Floats, folder: Path, clock: Clock) -> None:
    """Take one JPEG through all stages and through Pillow alone."""
    with timed(clock, "hash the source"):
        file_sha256(path)
    with timed(clock, "decode"):
        picture = decode(path, "JPEG", memory=MEMORY)
    with timed(clock, "working image"):
        small = working_image(picture.image, perturber.grid, picture.pixels)[None]
    with timed(clock, "amplitudes"):
        bounds = bounds_of(picture.image, perturber)[None]
    aspects = np.array([picture.image.width / picture.image.height], np.float32)
    with timed(clock, "perturb"):
        delta = perturber(small, direction[None], bounds, aspects)
    with timed(clock, "recognise"):
        perturber.recognised(small, direction[None], delta)
    with timed(clock, "add"):
        add_delta(picture.image, delta[0], picture.pixels)
    target = folder / "protected"
    with timed(clock, "encode"):
        encode(picture, picture.image, target)
    with timed(clock, "sync"):
        sync(target)
    with timed(clock, "hash the result"):
        file_sha256(target)
    with timed(clock, "Pillow decode"):
        plain = decode(path, "JPEG")
    with timed(clock, "Pillow encode"):
        encode(plain, plain.image, folder / "plain")
    for name in ("protected", "plain"):
        (folder / name).unlink()


def in_batches(perturber: FeaturePerturber, direction: Floats) -> float:
    """Return the milliseconds of a photo when `BATCH` are perturbed at once."""
    shape = (BATCH, 3, perturber.grid, perturber.grid)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    bounds, aspects = np.full_like(images[:, :1], 4), np.full(BATCH, 1.5, np.float32)
    directions = np.repeat(direction[None], BATCH, axis=0)
    perturber(images, directions, bounds, aspects)
    start = time.perf_counter()
    perturber(images, directions, bounds, aspects)
    return (time.perf_counter() - start) / BATCH * 1000


def decoded_on_gpu(photos: list[Path]) -> float:
    """Return the milliseconds of a photo that torchvision decodes on the GPU, all photos in one batch."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    files = [read_file(str(path)) for path in photos]
    for _ in range(2):  # the first time it also starts the decoder
        torch.cuda.synchronize()
        start = time.perf_counter()
        decode_jpeg(files, ImageReadMode.RGB, device="cuda")
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / len(files) * 1000


def report(photos: list[Path], device: Device, repeats: int) -> None:
    """Measure and print the table."""
    perturber = open_perturber("photo", device=device)
    assert isinstance(perturber, FeaturePerturber)
    clocks: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch, bound(1):
        direction = direction_of(photos, perturber, defaultdict(float))
        one_photo(photos[0], perturber, direction, Path(scratch), defaultdict(float))
        for _ in range(repeats):
            clock: Clock = defaultdict(float)
            direction_of(photos, perturber, clock)
            for path in photos:
                one_photo(path, perturber, direction, Path(scratch), clock)
            for stage, seconds in clock.items():
                clocks[stage].append(seconds / len(photos) * 1000)
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(f"{len(photos)} JPEGs, perturbed by {perturber.label} on {perturber.device}, medians of {repeats}")
    for stages, name in ((STAGES, "protect"), (PLAIN, "Pillow")):
        for stage in stages:
            print(f"{stage:>16} {median(clocks[stage]):7.1f} ms")
        print(f"{name:>16} {sum(median(clocks[stage]) for stage in stages):7.1f} ms\n")
    print(f"a photo of a batch of {BATCH} is perturbed in {in_batches(perturber, direction):.1f} ms")
    if device is Device.CUDA:
        print(f"a photo is decoded on the GPU in {decoded_on_gpu(photos):.1f} ms")


def main() -> None:
    """Parse the options."""
    parser = parser_for(__doc__)
    parser.add_argument("--device", type=Device, default=Device.CPU, help="cpu or cuda")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    report(jpegs_in(options.photos), options.device, options.repeats)


if __name__ == "__main__":
    main()
