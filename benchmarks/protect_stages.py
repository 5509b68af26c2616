"""Show where the time of `ulecli protect` goes: milliseconds of each stage of a photo, in one process.

    python benchmarks/protect_stages.py
    python benchmarks/protect_stages.py --photos ~/Pictures/2024 --device cuda

Each photo of the folder goes through the stages of `ulecli.protection.photo` one after the other, and beside
them through what a plain decode and encode by Pillow takes. With `--device cuda` the perturbations are made
there, one photo at a time and in batches of 64, and torchvision decodes the same JPEGs on the GPU: what
could be gained by that is the line beside Pillow's. Medians over the repeats; milliseconds are means over the
photos.
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
from timing import bound, conditions

from ulecli.formats.memory import Memory
from ulecli.formats.picture import decode, encode
from ulecli.imaging.delta import add_delta, working_image
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.photo_perturber import SurrogatePerturber
from ulecli.system.atomic import sync
from ulecli.system.devices import Device
from ulecli.system.fingerprint import file_sha256

CODE, EPSILON, BATCH = 9, 8, 64
MEMORY = Memory()
STAGES = ("hash the source", "decode", "shrink", "perturb", "add", "encode", "sync", "hash the result")
PLAIN = ("Pillow decode", "Pillow encode")

Clock = dict[str, float]


@contextmanager
def timed(clock: Clock, stage: str) -> Iterator[None]:
    """Add the seconds of a block to a stage."""
    start = time.perf_counter()
    yield
    clock[stage] += time.perf_counter() - start


def perturb(perturber: SurrogatePerturber, images: NDArray[np.float32], aspect: float) -> NDArray[np.int8]:
    """Return the deltas of some working images."""
    codes, aspects = np.full(len(images), CODE), np.full(len(images), aspect, np.float32)
    delta: NDArray[np.int8] = perturber(images, codes, aspects, epsilon=EPSILON)
    return delta


def one_photo(path: Path, perturber: SurrogatePerturber, folder: Path, clock: Clock) -> None:
    """Take one JPEG through all stages and through Pillow alone."""
    with timed(clock, "hash the source"):
        file_sha256(path)
    with timed(clock, "decode"):
        picture = decode(path, "JPEG", memory=MEMORY)
    with timed(clock, "shrink"):
        small = working_image(picture.image, perturber.grid, picture.pixels)[None]
    with timed(clock, "perturb"):
        delta = perturb(perturber, small, picture.image.width / picture.image.height)[0]
    with timed(clock, "add"):
        add_delta(picture.image, delta, picture.pixels)
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


def in_batches(perturber: SurrogatePerturber) -> float:
    """Return the milliseconds of a photo when `BATCH` are perturbed at once."""
    shape = (BATCH, 3, perturber.grid, perturber.grid)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    perturb(perturber, images, 1.5)
    start = time.perf_counter()
    perturb(perturber, images, 1.5)
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
    assert isinstance(perturber, SurrogatePerturber)
    clocks: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch, bound(1):
        one_photo(photos[0], perturber, Path(scratch), defaultdict(float))
        for _ in range(repeats):
            clock: Clock = defaultdict(float)
            for path in photos:
                one_photo(path, perturber, Path(scratch), clock)
            for stage, seconds in clock.items():
                clocks[stage].append(seconds / len(photos) * 1000)
    print(conditions("ulecli", "onnxruntime", "pillow", "numpy"))
    print(f"{len(photos)} JPEGs, perturbed by {perturber.label} on {perturber.device}, medians of {repeats}")
    for stages, name in ((STAGES, "protect"), (PLAIN, "Pillow")):
        for stage in stages:
            print(f"{stage:>16} {median(clocks[stage]):7.1f} ms")
        print(f"{name:>16} {sum(median(clocks[stage]) for stage in stages):7.1f} ms\n")
    print(f"a photo of a batch of {BATCH} is perturbed in {in_batches(perturber):.1f} ms")
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
