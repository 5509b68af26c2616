"""Render the pictures in `samples/`: seven scenes, one for each thing that a folder of photos may hold.

    python benchmarks/make_samples.py samples

Every scene is a function of coordinates and seeded fractal noise: the same numpy and Pillow make the same
files. They stand in for photographs where nobody's photographs should be shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Plane = NDArray[np.float64]
"""(H, W) float64; colours are (H, W, 3), 0 to 1."""

STONE_TO_WOOD = ((0.60, 0.34, 0.13), (0.68, 0.46, 0.22), (0.78, 0.50, 0.12))  # red, green, blue
ORIENTATION, MAKE, MODEL, SOFTWARE, DATE_TIME, EXIF_IFD = 0x0112, 0x010F, 0x0110, 0x0131, 0x0132, 0x8769
ROTATED = 6  # the camera was held upright: turn the stored picture by 90 degrees clockwise to see it


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    cells: float,
    *,
    stretch: float = 1.0,
    fade: float = 0.5,
) -> Plane:
    """Sum octaves of smooth value noise.

    Args:
        rng: Source of the noise.
        height: Of the plane, in pixels.
        width: Of the plane, in pixels.
        cells: Number of bumps over the width in the first octave; it doubles with each.
        stretch: How much wider than high a bump is.
        fade: Weight of an octave relative to the one before.

    Returns:
        (height, width) with mean 0 and standard deviation 1.
    """
    total = np.zeros((height, width))
    weight = 1.0
    while cells < width:
        shape = (max(2, round(cells * stretch * height / width)) + 1, max(2, round(cells)) + 1)
        grid = Image.fromarray(rng.standard_normal(shape).astype(np.float32))
        total += weight * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
        weight *= fade
        cells *= 2
    return np.asarray((total - total.mean()) / total.std())


def coordinates(height: int, width: int) -> tuple[Plane, Plane]:
    """Return y from 0 (top) to 1 (bottom), and x in the same unit, 0 in the middle."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return y / height, (x - width / 2) / height


def step(edge: ArrayLike, value: ArrayLike, softness: float = 0.003) -> Plane:
    """Rise smoothly from 0 to 1 where `value` passes `edge`."""
    ramp = np.clip((np.asarray(value) - edge) / (2 * softness) + 0.5, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float64)


def gradient(at: Plane, *stops: tuple[float, tuple[float, float, float]]) -> Plane:
    """Interpolate colours given at increasing positions."""
    positions, colours = [stop[0] for stop in stops], np.array([stop[1] for stop in stops])
    return np.stack([np.interp(at, positions, colours[:, channel]) for channel in range(3)], axis=-1)


def blend(below: Plane, above: ArrayLike, cover: Plane) -> Plane:
    """Lay a colour or picture over another, 0 to 1 of it."""
    return np.asarray(below + (np.asarray(above) - below) * cover[..., None])


def slope(profile: Plane) -> Plane:
    """Return (1, W) how steeply a crest (1, W) falls to the right, smoothed to light whole flanks."""
    width = profile.shape[1]
    window = np.hanning(width // 9)
    fall = np.gradient(np.pad(profile[0], len(window) // 2, mode="edge"))
    smooth = np.convolve(fall, window / window.sum(), mode="same")
    return np.asarray(smooth[None, len(window) // 2 :][:, :width] * width)


def develop(rng: np.random.Generator, scene: Plane, grain: float = 0.012) -> Image.Image:
    """Add the vignette and the grain of a camera and round to 8 bits."""
    height, width = scene.shape[:2]
    y, x = coordinates(height, width)
    vignette = 1 - 0.28 * ((y - 0.5) ** 2 + (x * height / width) ** 2)
    luma = rng.standard_normal((height, width, 1)) + 0.5 * rng.standard_normal((height, width, 3))
    exposed = scene * vignette[..., None] + grain * luma
    return Image.fromarray(np.uint8(np.clip(exposed * 255 + 0.5, 0, 255)))


def coast(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Sunset over the sea, with its path of light on the waves."""
    y, x = coordinates(height, width)
    horizon, sun = 0.56, (0.47, 0.18)
    distance = np.hypot(y - sun[0], x - sun[1])
    sky = gradient(y, (0, (0.16, 0.22, 0.42)), (0.3, (0.62, 0.42, 0.50)), (0.56, (0.99, 0.66, 0.36)))
    bands = fractal(rng, height, width, 3, stretch=5) - 1.5 * np.abs(y - 0.3)
    sky = blend(
        sky, gradient(y, (0, (0.30, 0.26, 0.40)), (0.5, (0.98, 0.50, 0.34))), step(0.1, bands, 0.9) * 0.75
    )
    sky += 0.45 * np.exp(-distance * 7)[..., None] * np.array([1, 0.75, 0.4])
    sky = blend(sky, (1.0, 0.95, 0.78), step(-0.035, -distance, 0.004))
    depth = np.clip((y - horizon) / (1 - horizon), 1e-3, 1)
    far = fractal(rng, height, width, 90, stretch=4, fade=0.7) * (1 - depth)
    near = fractal(rng, height, width, 14, stretch=5, fade=0.62) * depth
    waves = far + near
    sea = gradient(depth, (0, (0.78, 0.52, 0.40)), (0.25, (0.34, 0.34, 0.44)), (1, (0.07, 0.15, 0.24)))
    sea *= (1 + 0.16 * waves)[..., None]
    path = np.exp(-(((x - sun[1]) / (0.03 + 0.13 * depth)) ** 2)) * step(0.35, waves, 0.9)
    sea = blend(sea, (1.0, 0.80, 0.48), path * 0.9)
    scene = blend(sky, sea, step(horizon, y, 0.002))
    cape = horizon - 0.10 * np.clip(-x - 0.28, 0, 1) ** 0.7 - 0.008 * fractal(rng, 2, width, 12)[:1]
    scene = blend(
        scene, (0.16, 0.12, 0.17), step(cape, y) * step(-(horizon + 0.006), -y) * step(0.28, -x, 0.01)
    )
    return develop(rng, scene)


def ridges(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Mountain ranges, one behind the other in blue haze, the nearest wooded."""
    y, _ = coordinates(height, width)
    scene = gradient(y, (0, (0.36, 0.56, 0.82)), (0.55, (0.88, 0.90, 0.90)))
    clouds = step(0.4, fractal(rng, height, width, 4, stretch=2.5), 0.9) * (1 - y) ** 0.7
    scene = blend(scene, (0.97, 0.96, 0.95), clouds * 0.85)
    layers = 5
    for layer in range(layers):
        near = layer / (layers - 1)
        profile = fractal(rng, 2, width, 3 + 2 * layer, fade=0.52)[:1]
        crest = 0.34 + 0.42 * near + (0.095 - 0.05 * near) * -profile
        rock = fractal(rng, height, width, 10 + 14 * near, stretch=1.2, fade=0.68)
        lit = 1 + (0.10 + 0.13 * near) * rock + 0.022 * slope(profile) * (1 - near)
        tone = [np.interp(near, (0, 0.5, 1), channel) for channel in STONE_TO_WOOD]
        body = np.array(tone) * lit[..., None]
        if layer < 2:
            snow = step(0.2 + 9 * (y - crest), rock + 1.2, 0.5)
            body = blend(body, (0.95, 0.96, 0.98), snow * 0.9)
        mist = 0.5 * (1 - near) * np.clip((y - crest) * 5, 0, 1)
        scene = blend(scene, blend(body, (0.80, 0.85, 0.90), mist), step(crest + 0.006 * near * rock, y))
    return develop(rng, scene)


def forest(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A path through misty woods, upright."""
    y, x = coordinates(height, width)
    glow = np.exp(-(((x - 0.03) / 0.20) ** 2) - ((y - 0.34) / 0.38) ** 2)
    leaves = fractal(rng, height, width, 12, fade=0.75)
    scene = gradient(glow, (0, (0.14, 0.22, 0.12)), (0.6, (0.56, 0.64, 0.38)), (1, (0.95, 0.95, 0.76)))
    scene *= (1 + 0.13 * leaves)[..., None]
    ground = 0.70 + 0.015 * fractal(rng, 2, width, 5)[:1]
    litter = fractal(rng, height, width, 40, stretch=2.5, fade=0.8)
    floor = gradient(y, (0.68, (0.46, 0.47, 0.24)), (1, (0.20, 0.16, 0.08))) * (1 + 0.22 * litter)[..., None]
    bend = 0.05 * np.sin(7 * y) * (1 - y) * 3
    path = step(-0.02 - 0.34 * (y - 0.68), -np.abs(x - 0.03 - bend) + 0.01 * litter * y, 0.02)
    floor = blend(floor, np.array([0.62, 0.52, 0.36]) * (1 + 0.10 * litter)[..., None], path * 0.85)
    scene = blend(scene, floor, step(ground, y, 0.012))
    for near in np.linspace(0.05, 1, 26) ** 1.4:
        side = rng.choice([-1, 1]) * (0.05 + 0.10 * near + rng.uniform(0, 0.36))
        centre = 0.03 + side + rng.normal(0, 0.02) * (y - 0.5) + 0.003 * fractal(rng, height, 2, 1.5)[:, :1]
        thick = (0.005 + 0.026 * near) * (0.75 + 0.35 * y + 0.8 * np.clip(y - 0.66 - 0.2 * near, 0, 1))
        across = (x - centre) / thick
        bark = fractal(rng, height, width, 150, stretch=0.25, fade=0.7)
        shade = (1 - 0.35 * np.sign(side) * across) * (1 + 0.20 * near * bark)
        mist = (1 - near) ** 1.2 * 0.8
        trunk = blend(
            np.array([0.20, 0.15, 0.10]) * shade[..., None], (0.66, 0.72, 0.48), np.full_like(y, mist)
        )
        scene = blend(scene, trunk, step(-1, -np.abs(across), 0.12) * step(-(0.70 + 0.22 * near), -y, 0.008))
    canopy = step(0.15 + 4.2 * (y - 0.02), leaves + 0.7 - 1.3 * glow, 0.35)
    green = gradient(leaves, (-2, (0.06, 0.12, 0.04)), (2, (0.42, 0.54, 0.16)))
    return develop(rng, blend(scene, green, canopy * 0.95), grain=0.016)


def city(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A skyline at night, its windows mirrored in the river."""
    y, x = coordinates(height, width)
    shore = 0.62
    up = np.abs(y - shore) / np.where(
        y < shore, 1, 0.72
    )  # height above the river, below it that of the mirror
    scene = gradient(up, (0, (0.78, 0.42, 0.34)), (0.25, (0.36, 0.24, 0.40)), (0.62, (0.06, 0.08, 0.20)))
    scene *= (1 + 0.07 * fractal(rng, height, width, 3, stretch=3))[..., None]
    for layer, shade in enumerate((0.115, 0.07, 0.04)):
        left = -0.85
        while left < 0.85:
            wide = rng.uniform(0.04, 0.11)
            tall = rng.uniform(0.12, 0.40 - 0.09 * layer) * (1.15 - 0.6 * abs(left))
            inside = step(left, x, 0.002) * step(-left - wide, -x, 0.002) * step(-tall, -up, 0.002)
            scene = blend(scene, np.array([0.9, 0.85, 1.25]) * shade, inside)
            rows, columns = int(tall / 0.014), max(2, int(wide / 0.011))
            lamps = (rng.random((rows + 1, columns + 1)) < 0.40) * rng.uniform(
                0.35, 1, (rows + 1, columns + 1)
            )
            row = np.clip((up / 0.014).astype(int), 0, rows)
            column = np.clip(((x - left) / wide * columns).astype(int), 0, columns)
            pane = step(0.3, (up / 0.014) % 1, 0.1) * step(0.3, ((x - left) / wide * columns) % 1, 0.1)
            colour = np.array([1.0, 0.80, 0.50]) if rng.random() < 0.75 else np.array([0.75, 0.86, 1.0])
            scene = blend(scene, colour, inside * pane * lamps[row, column] * step(-tall + 0.012, -up, 0.003))
            left += wide + rng.uniform(0, 0.015)
    ripple = fractal(rng, height, width, 24, stretch=6, fade=0.7)
    water = np.clip(y - shore, 0, 1)
    source = np.clip(np.arange(height)[:, None] + ripple * 34 * water, 0, height - 1).astype(int)
    mirrored = np.take_along_axis(scene, np.repeat(source[..., None], 3, axis=2), axis=0) * 0.85
    scene = np.where((y > shore)[..., None], mirrored * (1 + 0.18 * ripple)[..., None], scene)
    quay = np.exp(-(((y - shore) / 0.004) ** 2)) * (0.35 + 0.65 * step(0.86, np.cos(x * 90), 0.2))
    return develop(rng, scene + quay[..., None] * np.array([1, 0.72, 0.36]), grain=0.014)


def still_life(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Three fruits with nothing behind them: a cut-out with soft edges and alpha."""
    y, x = coordinates(height, width)
    scene, alpha = np.zeros((height, width, 3)), np.zeros((height, width))
    shadow = np.exp(-((x / 0.42) ** 2) - ((y - 0.86) / 0.055) ** 2)
    alpha = np.maximum(alpha, 0.55 * shadow)
    fruits = (
        (0.52, 0.08, 0.30, (0.93, 0.62, 0.12), 70.0),
        (0.60, -0.24, 0.24, (0.76, 0.13, 0.10), 9.0),
        (0.70, 0.22, 0.17, (0.48, 0.64, 0.16), 16.0),
    )
    for top, left, radius, colour, texture in fruits:
        across, down = (x - left) / radius, (y - top) / radius
        inside = 1 - np.hypot(across, down)
        depth = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
        skin = fractal(rng, height, width, texture, fade=0.7)
        light = np.clip(-0.45 * across - 0.60 * down + 0.66 * depth + 0.04 * skin, 0, 1)
        body = np.array(colour) * (0.20 + 0.85 * light + 0.04 * skin)[..., None]
        body += (0.75 * np.clip(light, 0, 1) ** 26)[..., None]
        body += 0.10 * (np.clip(down, 0, 1) * (1 - depth))[..., None] * np.array([1, 0.8, 0.5])
        cover = step(0, inside, 0.6 * 2 / (radius * height))
        scene = blend(scene, body, cover)
        alpha = np.maximum(alpha, cover)
    picture = develop(rng, scene)
    picture.putalpha(Image.fromarray(np.uint8(alpha * 255 + 0.5)))
    return picture


def dunes(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Dunes in black and white, their ripples in raking light."""
    y, x = coordinates(height, width)
    scene = 0.80 - 0.38 * (1 - y) ** 1.5 + 0.05 * fractal(rng, height, width, 3, stretch=3)
    for layer in range(4):
        near = layer / 3
        profile = 0.30 + 0.17 * layer + 0.05 * np.sin((2.2 + layer) * x[:1] * (1.6 - near) + 2.1 * layer)
        profile = profile + 0.010 * fractal(rng, 2, width, 3, fade=0.3)[:1]
        below = np.clip(y - profile, 0, 1)
        warp = fractal(rng, height, width, 5, fade=0.45)
        ripples = np.sin(2 * np.pi * (below * (70 - 40 * near) ** 1.05 / (0.35 + y) + 0.9 * warp + 2.5 * x))
        sand = (
            0.60 + 1.1 * np.clip(slope(profile), -0.32, 0.32) + 0.045 * (0.4 + near) * ripples + 0.03 * warp
        )
        sand -= 0.55 * below * (1 - 0.3 * near)
        scene = scene + (sand - scene) * step(profile, y, 0.002)
    return develop(rng, np.repeat(scene[..., None], 3, axis=2), grain=0.02).convert("L")


def field(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A field of rape under summer clouds."""
    y, x = coordinates(height, width)
    horizon = 0.60 - 0.012 * np.sin(3 * x)
    scene = gradient(y, (0, (0.18, 0.42, 0.78)), (0.6, (0.74, 0.86, 0.94)))
    puff = fractal(rng, height, width, 4, stretch=2, fade=0.58)
    above = np.roll(puff, height // 26, axis=0)
    cover = step(0.35, puff + 0.5 * y, 0.5) * step(-0.60, -y, 0.05)
    scene = blend(scene, gradient(puff - above, (-1, (0.70, 0.74, 0.80)), (0.5, (1, 1, 0.99))), cover)
    trees = horizon - 0.022 - 0.016 * np.abs(fractal(rng, 2, width, 22, fade=0.75)[:1])
    crowns = fractal(rng, height, width, 60, fade=0.75)
    wood = np.array([0.13, 0.24, 0.13]) * (1 + 0.25 * crowns)[..., None]
    scene = blend(scene, wood, step(trees + 0.003 * crowns, y, 0.003))
    depth = np.clip((y - horizon) / 0.4, 1e-3, 1)
    lanes = 0.5 + 0.5 * np.cos((x - 0.1) / (depth + 0.04) * 11)
    blossom = fractal(rng, height, width, 70, stretch=1.8, fade=0.9) * depth**0.5
    flowers = lanes * 0.75 + 0.13 * blossom
    crop = gradient(flowers, (0, (0.26, 0.36, 0.08)), (0.6, (0.90, 0.77, 0.14)), (1, (1, 0.92, 0.40)))
    drift = 1 + 0.13 * fractal(rng, height, width, 3, stretch=4)
    return develop(rng, blend(scene, crop * drift[..., None], step(horizon, y, 0.003)))


def camera_exif(orientation: int) -> Image.Exif:
    """Return what a camera writes, with a make that nobody sells."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKE], exif[MODEL], exif[SOFTWARE] = "Lumen", "Lumen L1", "1.4"
    exif[DATE_TIME] = "2024:05:18 07:42:10"
    exif.get_ifd(EXIF_IFD).update({0x9003: "2024:05:18 07:42:10", 0x829D: 2.8, 0x8827: 200, 0x920A: 35.0})
    return exif


def main() -> None:
    """Render every scene into the folder that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="where the pictures go; files of the same names are replaced"
    )
    folder = parser.parse_args().folder
    (folder / "album").mkdir(parents=True, exist_ok=True)

    def rng(seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    coast(rng(1), 480, 720).save(folder / "Küste über Ærø.jpg", quality=90, exif=camera_exif(1))
    ridges(rng(2), 427, 641).save(folder / "mountains.jpg", quality=90)
    stored = forest(rng(3), 640, 448).transpose(Image.Transpose.ROTATE_90)
    stored.save(folder / "forest.jpg", quality=88, exif=camera_exif(ROTATED))
    still_life(rng(5), 288, 324).save(folder / "fruit.png", optimize=True)
    dunes(rng(6), 420, 640).save(folder / "dunes.jpg", quality=90)
    city(rng(4), 432, 720).save(folder / "album" / "harbour.webp", quality=88)
    field(rng(7), 450, 675).save(folder / "album" / "field.jpg", quality=90)


if __name__ == "__main__":
    main()
