"""Decoded pixels of every kind to RGB or RGBA of 8 bits per channel."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image, ImageFile

from ulecli.codec import colour
from ulecli.errors import PhotoSkipped

_LEVELS = 255
_GRAY = ("1", "L", "LA", "La")
_WITHOUT_8_BITS = {"F": "32-bit float", "I": "32-bit", "LAB": "CIE Lab"}

_WIDE = re.compile(r"(?:I|LA?|RGB[AaX]?|CMYK);(12|16)")
"""Pillow's names of stored pixels; others with a 16 have that for all channels together."""

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
"""Tag of TIFF; Pillow heeds `_WHITE_IS_ZERO` for 8 bits and fewer, but not for 16."""


def stored_bits(stored: ImageFile.ImageFile) -> int:
    """Tell how many bits per channel an opened picture has, as far as that is more than 8.

    Args:
        stored: Not loaded yet: loading forgets it.
    """
    for tile in stored.tile:
        raw = tile.args if isinstance(tile.args, str) else tile.args[0] if tile.args else ""
        if found := _WIDE.match(str(raw)):
            return int(found[1])
    return 8


def to_8_bits(
    stored: ImageFile.ImageFile, bits: int, profile: bytes, remarks: list[str]
) -> tuple[Image.Image, bytes]:
    """Bring a decoded picture to 8 bits per channel of RGB, or RGBA.

    Args:
        stored: Decoded, of any mode.
        bits: What `stored_bits` said.
        profile: The ICC profile of its pixels, or b"".
        remarks: Is told what was changed.

    Returns:
        The picture, and the profile that describes its pixels now: b"" means sRGB.

    Raises:
        PhotoSkipped: Its pixels have no right tones in 8 bits.
    """
    mode = stored.mode
    if mode in _WITHOUT_8_BITS:
        raise PhotoSkipped(f"has {_WITHOUT_8_BITS[mode]} pixels, whose tones 8 bits can't keep")
    if mode == "CMYK":
        return _from_cmyk(stored, profile, remarks), b""
    image: Image.Image = stored
    if bits > 8:
        remarks.append(f"{bits} bits per channel became 8")
        if mode.startswith("I;16"):
            image = _from_16_bits(stored, bits)
        elif "transparency" in stored.info:
            raise PhotoSkipped("has a transparent colour of 16 bits per channel, which is lost in 8")
    if image.mode in _GRAY:
        image, profile = _toned(image, profile, remarks), b""
    elif profile and not colour.is_rgb(profile):
        remarks.append("its colour profile is not one for RGB and was left out")
        profile = b""
    if image.mode in ("PA", "RGBa", "LA") or "transparency" in image.info:
        return image.convert("RGBA"), profile
    if image.mode in ("RGB", "RGBA"):
        return image, profile
    return image.convert("RGB"), profile


def _from_cmyk(stored: Image.Image, profile: bytes, remarks: list[str]) -> Image.Image:
    image = colour.cmyk_to_srgb(stored, profile) if profile else None
    if image is None:
        remarks.append("CMYK became RGB")
        return stored.convert("RGB")
    remarks.append("CMYK became sRGB by its colour profile")
    return image


def _from_16_bits(stored: ImageFile.ImageFile, bits: int) -> Image.Image:
    """Scale gray of 12 or 16 bits to 8; a level that stands for transparent becomes opacity 0."""
    levels = np.asarray(stored)
    highest = (1 << bits) - 1
    tones = np.arange(65536, dtype=np.uint32).clip(max=highest) * _LEVELS
    tones = ((tones + highest // 2) // highest).astype(np.uint8)
    if getattr(stored, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        tones = _LEVELS - tones
    image = Image.fromarray(tones[levels])
    if "transparency" in stored.info:
        opacity = np.where(levels == stored.info["transparency"], 0, _LEVELS).astype(np.uint8)
        image = Image.merge("LA", (image, Image.fromarray(opacity)))
    return image


def _toned(image: Image.Image, profile: bytes, remarks: list[str]) -> Image.Image:
    """Give gray the tones that its profile means; R, G and B will be equal, whatever the profile's tint."""
    if image.mode == "La":
        image = image.convert("LA")
    if not profile:
        return image
    tones = colour.gray_tones(profile)
    if tones is None:
        remarks.append("its colour profile is not one for gray and was left out")
        return image
    remarks.append("its gray profile was applied")
    if image.mode == "1":
        return image
    return image.point([*tones, *range(_LEVELS + 1)] if image.mode == "LA" else tones)
