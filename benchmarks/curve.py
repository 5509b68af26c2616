"""Draw what a perturbation does against how visible it is: one identity among clean ones, and SSIMULACRA2.

Designs are made here by plain PGD, before any of them is built into the tool:

    bundled      what `ulecli protect` does: `own` by the bundled surrogate, on a square grid
    band-10-30   noise of 10 to 30 cycles per shorter side, another draw for each photo: a control
    band-24-56   noise of 24 to 56 cycles: a control
    feature      a random direction in the standardised pooled features of a pretrained net
    ordinary     the direction in them along which ordinary photos can be moved furthest together
    own          the direction along which the photos of the identity can be moved furthest together
    young        Algorithm 1 of 'Going Grayscale' for one identity: nets from scratch, a hundred steps old
    both         `own` and `young` together

Each amplitude is a bound in levels where there is texture; smooth parts get `FLOOR` of it.
A row has the mean and the worst recall over the protected identities, each alone in turn among clean ones and
stored as JPEG q85, of a linear probe on a net that took no part, and with --scratch of a net trained from
nothing at 128 px; and SSIMULACRA2 at 1080 px of the same design on camera photos.

    python benchmarks/curve.py --data FACES --ordinary PHOTOS --shown CAMERA_PHOTOS [--scratch] -o curve.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from ulecli.evaluation.exploiters.logistic import fit_logistic
from ulecli.imaging.delta import add_delta, fitting_grid, working_image
from ulecli.imaging.texture import texture_weights
from ulecli.imaging.visibility import SCREEN_SIDE, ssimulacra2
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.makers import MAKERS
from ulecli.nets.backbones.opening import open_backbone, requests
from ulecli.surrogates.opening import open_perturber
from ulecli.units import LEVELS

FLOOR = 0.25
SEEN = 112
"""Side of what the pretrained nets see."""
WORKING_SIDE = 160
"""Shorter side of the working image of a camera photo."""
STEPS, MOMENTUM = 10, 0.7
TOGETHER = 32
"""Photos that a direction is found on."""
YOUNG_STEPS, ROUNDS = 100, 2
QUALITY = 85

Pixels = NDArray[np.uint8]
Loss = Callable[[Tensor, np.random.Generator], Tensor]
"""Of a batch (N, 3, H, W) in unit scale: a scalar that PGD brings down."""


@dataclass(frozen=True)
class Identity:
    """Photos of one size: to train on (N, H, W, 3), and to test on."""

    name: str
    train: Pixels
    test: Pixels


def read_identities(folder: Path, train: int, test: int) -> list[Identity]:
    """Read one folder for each identity, squeezed to the size of the first photo."""
    found, size = [], None
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        pictures = [Image.open(path).convert("RGB") for path in sorted(sub.iterdir())[: train + test]]
        if len(pictures) < train + test:
            raise SystemExit(f"{sub} has {len(pictures)} photos, fewer than {train + test}")
        size = size or pictures[0].size
        photos = np.stack([np.asarray(one.resize(size, Image.Resampling.BICUBIC)) for one in pictures])
        found.append(Identity(sub.name, photos[:train], photos[train:]))
    return found


def ordinary_photos(folders: Sequence[Path], count: int = 300) -> Pixels:
    """Return crops (N, SEEN, SEEN, 3) of photos of anything."""
    paths = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES
    )
    rng, crops = np.random.default_rng(0), []
    for place in rng.permutation(len(paths))[:count]:
        image = Image.open(paths[place]).convert("RGB")
        side = min(image.size) * rng.uniform(0.5, 1)
        left, top = (rng.uniform(0, length - side) for length in image.size)
        box = (left, top, left + side, top + side)
        crops.append(np.asarray(image.resize((SEEN, SEEN), Image.Resampling.BICUBIC, box=box)))
    return np.stack(crops)


SUFFIXES = (".jpg", ".jpeg", ".png")


def unit(photos: Pixels) -> Tensor:
    """Return (N, 3, H, W) in unit scale."""
    return torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2))).float() / LEVELS


def seen(images: Tensor, side: int) -> Tensor:
    """Return images (N, C, H, W) squeezed to a square."""
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def view(images: Tensor, rng: np.random.Generator, sides: Sequence[int]) -> Tensor:
    """Return a random crop, at times mirrored or gray, of a random side: one draw for the batch."""
    share = np.sqrt(rng.uniform(0.4, 1))
    height, width = (int(length * share) for length in images.shape[2:])
    top = rng.integers(0, images.shape[2] - height + 1)
    left = rng.integers(0, images.shape[3] - width + 1)
    crop = images[:, :, top : top + height, left : left + width]
    if rng.random() < 0.5:
        crop = crop.flip(3)
    if rng.random() < 0.3:
        crop = (
            (crop * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand_as(crop)
        )
    return seen(crop, int(rng.choice(sides)))


def bounds(photos: Pixels, amplitude: float) -> Tensor:
    """Return how far delta may go, (N, 1, H, W) in unit scale: less where a photo is smooth."""
    height, width = photos.shape[1:3]
    maps = [Image.fromarray(texture_weights(Image.fromarray(photo), floor=FLOOR)) for photo in photos]
    found = [np.asarray(one.resize((width, height), Image.Resampling.BILINEAR)) for one in maps]
    return torch.from_numpy(np.stack(found))[:, None] * (amplitude / LEVELS)


def pgd(photos: Pixels, amplitude: float, losses: Sequence[Loss], seed: int) -> NDArray[np.float32]:
    """Minimise the sum of losses by a tied delta, (N, 1, H, W) levels."""
    rng, found = np.random.default_rng(seed), []
    for first in range(0, len(photos), 32):
        part = photos[first : first + 32]
        images, bound = unit(part), bounds(part, amplitude)
        delta, momentum = torch.zeros_like(bound), torch.zeros_like(bound)
        for _ in range(STEPS):
            delta.requires_grad_(True)
            loss = sum((one((images + delta).clamp(0, 1), rng) for one in losses), torch.zeros(()))
            (gradient,) = torch.autograd.grad(loss, delta)
            scale = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-20)
            momentum = MOMENTUM * momentum + gradient / scale
            delta = (delta.detach() - momentum.sign() * bound * (2 / STEPS)).clamp(-bound, bound)
        found.append(delta.detach().numpy() * LEVELS)
    return np.concatenate(found)


class Features:
    """Pooled features of a pretrained net, each divided by its deviation over ordinary photos."""

    def __init__(self, ordinary: Pixels) -> None:
        """Take the deviations from photos (N, H, W, 3)."""
        self.net = MAKERS["efficientnet-lite0"].open(BackboneOptions(size=SEEN)).module()
        self.ordinary = ordinary
        with torch.no_grad():
            features = torch.cat([self.net(part) for part in torch.split(unit(ordinary), 25)])
        self.scale = 1 / (features.std(0) + 1e-4)

    def loss(self, direction: Tensor) -> Loss:
        """Return the loss that falls with the projection on a direction of standardised features."""

        def of(images: Tensor, rng: np.random.Generator) -> Tensor:
            answer: Tensor = -(self.net(view(images, rng, (96, 112, 128))) * self.scale @ direction).sum()
            return answer

        return of

    def random(self, seed: int) -> Tensor:
        """Draw a direction."""
        drawn = np.random.default_rng(seed).standard_normal(len(self.scale)).astype(np.float32)
        return functional.normalize(torch.from_numpy(drawn), dim=0)

    def reached(self, photos: Pixels, amplitude: float, seed: int, steps: int = 8) -> Tensor:
        """Return the direction of the largest mean shift that PGD finds for photos, from a random one on."""
        images, bound = unit(photos), bounds(photos, amplitude)
        delta, momentum, start = torch.zeros_like(bound), torch.zeros_like(bound), self.random(seed)
        with torch.no_grad():
            clean = self.net(images)
        for step in range(steps):
            delta.requires_grad_(True)
            shift = (self.net((images + delta).clamp(0, 1)) - clean).mean(0) * self.scale
            (gradient,) = torch.autograd.grad(-(shift @ start) if step < 2 else -shift.norm(), delta)
            size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-20)
            momentum = MOMENTUM * momentum + gradient / size
            delta = (delta.detach() - momentum.sign() * bound * 0.3).clamp(-bound, bound)
        return functional.normalize(shift.detach(), dim=0)


def small_net(classes: int, width: int = 24) -> nn.Sequential:
    """Return a net for pictures of 64 to 128 px that a CPU trains in a minute or two."""
    layers: list[nn.Module] = []
    plan = ((3, 1, 2), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 6, 2), (6, 6, 1))
    for number, (before, after, stride) in enumerate(plan):
        inputs = 3 if number == 0 else before * width
        layers += [nn.Conv2d(inputs, after * width, 3, stride, 1, bias=False), nn.BatchNorm2d(after * width)]
        layers += [nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6 * width, classes)]
    net: nn.Sequential = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def train(net: nn.Module, photos: Pixels, labels: Tensor, side: int, steps: int, seed: int) -> None:
    """Train by SGD with Nesterov momentum; 8 photos share a view, 32 make a batch."""
    rng, images = np.random.default_rng(seed), unit(photos)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    net.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * min(1, step / (0.15 * steps)) * (1 - step / steps)
        drawn = torch.from_numpy(rng.integers(0, len(images), 32))
        batch = torch.cat([view(images[part], rng, (side,)) for part in torch.split(drawn, 8)])
        loss = functional.cross_entropy(
            net(batch.contiguous(memory_format=torch.channels_last)), labels[drawn]
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    net.eval().requires_grad_(False)


def stored(photos: Pixels, delta: NDArray[np.float32]) -> Pixels:
    """Add a delta (N, 1, H, W) in levels and store the photos as JPEG."""
    moved = np.clip(photos + np.rint(delta).transpose(0, 2, 3, 1), 0, LEVELS).astype(np.uint8)
    files = []
    for photo in moved:
        Image.fromarray(photo).save(file := io.BytesIO(), "JPEG", quality=QUALITY)
        files.append(np.asarray(Image.open(file)))
    return np.stack(files)


class Bench:
    """Makes designs and judges them."""

    def __init__(
        self, identities: Sequence[Identity], protected: Sequence[int], ordinary: Pixels, judge: str
    ) -> None:
        self.identities, self.protected = identities, protected
        self.train = np.concatenate([one.train for one in identities])
        self.labels = torch.arange(len(identities)).repeat_interleave(len(identities[0].train))
        self.test = np.concatenate([one.test for one in identities])
        self.asked = torch.arange(len(identities)).repeat_interleave(len(identities[0].test))
        self._ordinary = ordinary
        self._judge = open_backbone(
            requests((judge,), BackboneOptions(size=SEEN if "lite" in judge else 0))[0]
        ).module()
        self._clean, self._test = self._judged(self.train), self._judged(self.test)
        self._young: dict[tuple[str, int, float], list[Loss]] = {}

    @cached_property
    def features(self) -> Features:
        """Of the net that makes perturbations."""
        return Features(self._ordinary)

    def _judged(self, photos: Pixels) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._judge(part) for part in torch.split(unit(photos), 16)])

    def delta(self, design: str, photos: Pixels, identity: int, amplitude: float) -> NDArray[np.float32]:
        """Make a design, (N, 1, H, W) levels."""
        if design == "bundled":
            return _bundled(photos, self.identities[identity].train, identity, amplitude)
        if design.startswith("band"):
            low, high = map(int, design.split("-")[1:])
            rng = np.random.default_rng(identity)
            noise = [band_noise(rng, photos[0].shape[:2], low, high) for _ in photos]
            shaped: NDArray[np.float32] = (
                np.stack(noise)[:, None] * bounds(photos, amplitude).numpy() * LEVELS
            )
            return shaped
        return pgd(photos, amplitude, list(self._losses(design, identity, amplitude)), identity)

    def _losses(self, design: str, identity: int, amplitude: float) -> Iterator[Loss]:
        if design == "feature":
            yield self.features.loss(self.features.random(identity))
        if design in ("ordinary", "own", "both"):
            own = self.identities[identity].train
            photos = self.features.ordinary if design == "ordinary" else own
            yield self.features.loss(self.features.reached(photos[:TOGETHER], amplitude, identity))
        if design in ("young", "both"):
            key = (design, identity, amplitude)
            if key not in self._young:
                self._young[key] = []
                for round_ in range(ROUNDS):
                    self._grow(design, identity, amplitude, round_)
            yield from self._young[key]

    def _grow(self, design: str, identity: int, amplitude: float, round_: int) -> None:
        """Train a fresh net on everybody, the photos of the identity as they are protected so far."""
        own = (self.labels == identity).numpy()
        nets = self._young[design, identity, amplitude]
        photos = self.train.copy()
        if nets:
            photos[own] = stored(photos[own], pgd(photos[own], amplitude, nets, identity))
        else:  # something to find, of the same bound
            rng = np.random.default_rng(identity)
            noise = band_noise(rng, photos[0].shape[:2], 8, 40)[None, None]
            photos[own] = stored(photos[own], noise * bounds(photos[own], amplitude).numpy() * LEVELS)
        torch.manual_seed(100 * identity + round_)
        net = small_net(len(self.identities), 16)
        train(net, photos, self.labels, 64, YOUNG_STEPS, round_)

        def loss(images: Tensor, rng: np.random.Generator) -> Tensor:
            logits = net(view(images, rng, (56, 64, 80)).contiguous(memory_format=torch.channels_last))
            wanted = torch.full((len(images),), identity)
            return functional.cross_entropy(logits, wanted, reduction="sum") * 3

        nets.append(loss)

    def probe(self, design: str, amplitude: float) -> list[float]:
        """Return the recalls, in percent, of each protected identity by the probe."""
        return [
            self._probed(identity, self._protect(design, identity, amplitude)) for identity in self.protected
        ]

    def _protect(self, design: str, identity: int, amplitude: float) -> Pixels:
        photos = self.identities[identity].train
        return stored(photos, self.delta(design, photos, identity, amplitude)) if amplitude else photos

    def _probed(self, identity: int, photos: Pixels) -> float:
        features = self._clean.clone()
        features[self.labels == identity] = self._judged(photos)
        found = fit_logistic(features, self.labels, len(self.identities)).logits(self._test).argmax(1)
        return self._recall(found, identity)

    def scratch(self, design: str, amplitude: float, steps: int) -> list[float]:
        """Return the recalls of nets that are trained from nothing at 128 px."""
        recalls = []
        for identity in self.protected:
            photos = self.train.copy()
            photos[(self.labels == identity).numpy()] = self._protect(design, identity, amplitude)
            torch.manual_seed(0)
            net = small_net(len(self.identities))
            train(net, photos, self.labels, 128, steps, 0)
            shown = seen(unit(self.test), 128).contiguous(memory_format=torch.channels_last)
            recalls.append(
                self._recall(torch.cat([net(part).argmax(1) for part in torch.split(shown, 32)]), identity)
            )
        return recalls

    def _recall(self, found: Tensor, identity: int) -> float:
        own = self.asked == identity
        return 100 * (found[own] == identity).float().mean().item()

    def visibility(self, design: str, amplitude: float, shown: Sequence[Image.Image]) -> list[float]:
        """Return SSIMULACRA2 of camera photos."""
        found = []
        for photo in shown:
            scale = WORKING_SIDE / min(photo.size)
            small = photo.resize([round(length * scale) for length in photo.size], Image.Resampling.LANCZOS)
            delta = self.delta(design, np.asarray(small)[None], self.protected[0], amplitude)
            moved = photo.copy()
            add_delta(moved, np.rint(delta[0]).astype(np.int8))
            found.append(ssimulacra2(np.asarray(photo), np.asarray(moved)))
        return found


def _bundled(photos: Pixels, own: Pixels, identity: int, amplitude: float) -> NDArray[np.float32]:
    perturber = open_perturber("photo")
    height, width = photos.shape[1:3]
    samples, limits = _working(own[: perturber.samples], perturber.grid, amplitude)
    direction = perturber.direction(samples, limits, identity)
    images, limits = _working(photos, fitting_grid((width, height), perturber.grid), amplitude)
    aspects = np.full(len(photos), width / height, np.float32)
    delta = perturber(images, np.repeat(direction[None], len(photos), 0), limits, aspects)
    planes = [Image.fromarray(one[0].astype(np.float32)) for one in delta]
    wide = [np.asarray(one.resize((width, height), Image.Resampling.BILINEAR)) for one in planes]
    return np.stack(wide)[:, None]


def _working(photos: Pixels, grid: int, amplitude: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return working images (N, 3, S, S) and how far their cells may be moved, (N, 1, S, S) levels."""
    pictures = [Image.fromarray(photo) for photo in photos]
    weights = np.stack([texture_weights(picture, grid, FLOOR) for picture in pictures])
    return np.stack([working_image(picture, grid) for picture in pictures]), weights[:, None] * np.float32(
        amplitude
    )


def band_noise(
    rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float
) -> NDArray[np.float32]:
    """Return nearly saturated noise of a band of cycles per shorter side, (H, W), -1 to 1."""
    (height, width), shorter = shape, min(shape)
    rows, columns = np.fft.fftfreq(height)[:, None] * shorter, np.fft.rfftfreq(width) * shorter
    radius = np.hypot(rows, columns)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * ((radius >= low) & (radius <= high))
    field = np.fft.irfft2(spectrum, (height, width))
    found: NDArray[np.float32] = np.clip(field / field.std() * 1.2, -1, 1).astype(np.float32)
    return found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="one folder of photos for each identity")
    parser.add_argument("--ordinary", type=Path, action="append", required=True, help="photos of anything")
    parser.add_argument(
        "--shown", type=Path, required=True, help="camera photos that visibility is measured on"
    )
    parser.add_argument("--train", type=int, default=40)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument(
        "--protected", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--designs", default="bundled,band-10-30,band-24-56,feature,ordinary,own,young,both")
    parser.add_argument("--amplitudes", default="2,3,4,6,8")
    parser.add_argument("--every", type=int, default=3, help="look at one camera photo in so many")
    parser.add_argument(
        "--judge", default="efficientnet-lite2", help="a name or a file, see evaluate --backbone"
    )
    parser.add_argument("--scratch", action="store_true", help="train from nothing at 128 px as well")
    parser.add_argument("--scratch-steps", type=int, default=300)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    identities = read_identities(asked.data, asked.train, asked.test)
    bench = Bench(identities, asked.protected, ordinary_photos(asked.ordinary), asked.judge)
    shown = []
    for path in sorted(path for path in asked.shown.iterdir() if path.suffix.lower() in SUFFIXES)[
        :: asked.every
    ]:
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((SCREEN_SIDE, SCREEN_SIDE), Image.Resampling.LANCZOS)
        shown.append(photo)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}", flush=True)
    plan = [("clean", 0.0)] + [
        (design, float(amplitude))
        for design in asked.designs.split(",")
        for amplitude in asked.amplitudes.split(",")
    ]
    with asked.output.open("w", newline="") as file:
        table = csv.writer(file)
        kinds = ("probe", "scratch") if asked.scratch else ("probe",)
        table.writerow(
            ["design", "amplitude", "ssimulacra2_mean", "ssimulacra2_worst"]
            + [f"{kind}_{what}" for kind in kinds for what in ("mean", "worst")]
        )
        for design, amplitude in plan:
            began = time.perf_counter()
            eye = bench.visibility(design, amplitude, shown) if amplitude else [100.0]
            recalls = [bench.probe(design, amplitude)]
            if asked.scratch:
                recalls.append(bench.scratch(design, amplitude, asked.scratch_steps))
            figures = [np.mean(eye), min(eye)] + [
                figure for one in recalls for figure in (np.mean(one), max(one))
            ]
            table.writerow([design, amplitude, *(f"{figure:.1f}" for figure in figures)])
            file.flush()
            print(
                design,
                amplitude,
                *(f"{figure:.1f}" for figure in figures),
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
