"""Decoded pixels of every kind to RGB or RGBA of 8 bits per channel, with tones like those of sRGB."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile

from ulecli.errors import PhotoSkipped
from ulecli.formats import colour, tones
from ulecli.formats.format import Source
from ulecli.units import LEVELS

_GRAY = ("1", "L", "LA", "La")
_WITHOUT_8_BITS = {"F": "32-bit float", "I": "32-bit", "LAB": "CIE Lab"}

_WIDE = re.compile(r"(?:I|LA?|RGB[AaX]?|CMYK);(12|16)")
"""Pillow's names of stored pixels; others with a 16 have that for all channels together."""


class Shown(NamedTuple):
    """Pixels and what they mean.

    Attributes:
        image: RGB, RGBA or RGBX of 8 bits per channel.
        profile: The ICC profile that describes them; b"" means sRGB, or what the file says without a profile.
        is_srgb: They were brought to sRGB, so what the file says of its colours is void.
    """

    image: Image.Image
    profile: bytes
    is_srgb: bool = False


def stored_bits(stored: ImageFile.ImageFile) -> int:
    """Return how many bits per channel an opened picture has, as far as that is more than 8.

    Args:
        stored: Not loaded yet: loading forgets it.
    """
    for tile in stored.tile:
        raw = tile.args if isinstance(tile.args, str) else tile.args[0] if tile.args else ""
        if found := _WIDE.match(str(raw)):
            return int(found[1])
    return 8


def to_8_bits(image: Image.Image, source: Source, remarks: list[str]) -> Shown:
    """Bring a decoded picture to 8 bits per channel of RGB, or RGBA.

    Args:
        image: Decoded, of any mode; its `info` has "transparency" if a level or colour stands for that.
        source: What it was decoded from.
        remarks: Gets what was changed.

    Raises:
        PhotoSkipped: Its pixels have no right tones in 8 bits.
    """
    mode, bits = image.mode, source.bits
    if mode in _WITHOUT_8_BITS:
        raise PhotoSkipped(f"has {_WITHOUT_8_BITS[mode]} pixels, whose tones 8 bits can't keep")
    if bits > 8:
        remarks.append(f"{bits} bits per channel became 8")
    if mode == "CMYK":
        return Shown(_from_cmyk(image, source.profile, remarks), b"", True)
    if bits > 8 and not mode.startswith("I;16") and "transparency" in image.info:
        raise PhotoSkipped("has a transparent colour of 16 bits per channel, which is lost in 8")
    profile = source.profile
    if mode in ("RGB", "RGBX", "RGBA") and colour.is_gray(profile) and _is_gray(image):
        channels = [image.getchannel(name) for name in ("GA" if mode == "RGBA" else "G")]
        image = Image.merge("LA", channels) if mode == "RGBA" else channels[0]
    if image.mode in _GRAY or mode.startswith("I;16"):
        return _from_gray(image, source, remarks)
    if profile and not colour.is_rgb(profile):
        remarks.append("its colour profile is not one for RGB and was left out")
        profile = b""
    if mode not in ("RGB", "RGBA", "RGBX") or "transparency" in image.info:
        transparent = mode in ("PA", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
    shown = _with_usual_tones(image, profile, source)
    if shown is None:
        return Shown(image, profile)
    remarks.append("its tones are unlike those of sRGB, so it was brought to sRGB")
    return Shown(shown, b"", True)


def _from_cmyk(stored: Image.Image, profile: bytes, remarks: list[str]) -> Image.Image:
    image = colour.cmyk_to_srgb(stored, profile) if profile else None
    if image is None:
        remarks.append("CMYK became RGB")
        return stored.convert("RGB")
    remarks.append("CMYK became sRGB by its colour profile")
    return image


def _from_gray(image: Image.Image, source: Source, remarks: list[str]) -> Shown:
    """Give gray the tones that its profile means; R, G and B will be equal, whatever the profile's tint."""
    if image.mode == "La":
        image = image.convert("LA")
    deep = image.mode.startswith("I;16")
    highest = (1 << source.bits) - 1 if deep else LEVELS
    shown = None
    if source.profile:
        shown = colour.gray_tones(source.profile, 65536 if deep else 256)
        known = "its colour profile is not one for gray and was left out"
        remarks.append("its gray profile was applied" if shown is not None else known)
    elif source.space and source.space.unlike_srgb():
        shown = tones.gray_to_srgb(65536 if deep else 256, source.space.curves[1])
        remarks.append("its tones are unlike those of sRGB, so it was brought to sRGB")
    is_srgb = shown is not None
    if deep:
        image = _from_deep_gray(image, highest, shown, source.opacity)
    elif shown is not None and image.mode != "1":
        table = shown.tolist()
        image = image.point([*table, *range(LEVELS + 1)] if image.mode == "LA" else table)
    transparent = image.mode == "LA" or "transparency" in image.info
    return Shown(_colourful(image, "RGBA" if transparent else "RGB"), b"", is_srgb)


def _colourful(gray: Image.Image, mode: str) -> Image.Image:
    return gray if gray.mode == mode else gray.convert(mode)


def _from_deep_gray(
    stored: Image.Image, highest: int, shown: NDArray[np.uint8] | None, opacity: Image.Image | None
) -> Image.Image:
    """Scale gray of 12 or 16 bits to 8; a level that stands for transparent becomes opacity 0."""
    levels = np.asarray(stored)
    scaled = np.arange(65536, dtype=np.uint32).clip(max=highest)
    if shown is None:
        table = ((scaled * LEVELS + highest // 2) // highest).astype(np.uint8)
    else:
        table = shown[(scaled * 65535 + highest // 2) // highest]
    image = Image.fromarray(table[levels])
    if "transparency" in stored.info:
        opaque = np.where(levels == stored.info["transparency"], 0, LEVELS).astype(np.uint8)
        opacity = Image.fromarray(opaque)
    return Image.merge("LA", (image, opacity)) if opacity else image


def _with_usual_tones(image: Image.Image, profile: bytes, source: Source) -> Image.Image | None:
    """Return an RGB, RGBX or RGBA picture in sRGB if its own tones are unlike those, else None."""
    space = tones.profile_space(profile) if profile else source.space
    if space is None:
        shown = colour.table_to_srgb(_opaque(image), profile) if profile else None
    elif space.unlike_srgb():
        pixels = np.asarray(_opaque(image))
        low = source.low_bytes() if source.bits == 16 else None
        if low is not None:
            pixels = (pixels.astype(np.uint16) << 8) | np.asarray(_opaque(low))
        shown = Image.fromarray(tones.to_srgb(pixels, space))
    else:
        return None
    if shown is not None and image.mode == "RGBA":
        shown.putalpha(image.getchannel("A"))
    return shown


def _is_gray(image: Image.Image) -> bool:
    red, green, blue = (image.getchannel(name) for name in "RGB")
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(blue, green).getbbox())


def _opaque(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")
