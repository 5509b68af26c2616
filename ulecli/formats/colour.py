"""Colour profiles: which kind a profile is of, pixels brought to sRGB by one, and profiles for coded names.

A profile says what the numbers of one kind of pixel mean. The output is RGB, so an RGB profile goes along as
it is where its tones are like those of sRGB, and other pixels are brought to sRGB by theirs.
"""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ulecli.errors import PhotoSkipped
from ulecli.formats import tones
from ulecli.formats.tones import Space

_RELATIVE = ImageCms.Intent.RELATIVE_COLORIMETRIC
_BLACK_POINT = ImageCms.Flags.BLACKPOINTCOMPENSATION
_EXACTLY = ImageCms.Flags.NOOPTIMIZE
"""The library's shortcuts are off by 9 levels in the dark."""

# Code points of ITU-T H.273, as AVIF, HEIC and PNG use them.
UNSPECIFIED = 2
_SRGB_PRIMARIES, _P3_PRIMARIES = 1, 12
_BRIGHT = {16: "PQ", 18: "HLG"}
"""Transfers of high dynamic range."""

_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_UNLIKE_SRGB = {5, 8, 9, 10, 17}
"""Gamma 2.8, linear, logarithmic, cinema; viewers show the others as they show sRGB."""

_C = (0.310, 0.316)
_PRIMARIES: dict[int, tuple[tones.Chromaticities, tuple[float, float]]] = {
    1: (tones.BT709, tones.D65),
    2: (tones.BT709, tones.D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), tones.D65),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), tones.D65),
    7: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), tones.D65),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), tones.D65),
    12: (tones.P3, tones.D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), tones.D65),
}


def is_rgb(profile: bytes) -> bool:
    """Return whether a profile describes RGB."""
    return profile[16:20] == b"RGB "


def is_gray(profile: bytes) -> bool:
    """Return whether a profile describes gray."""
    return profile[16:20] == b"GRAY"


def gray_tones(profile: bytes, levels: int = 256) -> NDArray[np.uint8] | None:
    """Return for each gray level the level of 0 to 255 that looks the same in sRGB.

    Args:
        profile: Of ICC.
        levels: How many there are: 256 or 65536.

    Returns:
        So many levels; None if the profile is not one of gray or can't be read.
    """
    if (curve := tones.gray_curve(profile)) is not None:
        return tones.gray_to_srgb(levels, curve)
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    shown = _to_srgb(ramp, profile, _EXACTLY) if is_gray(profile) else None
    if shown is None:
        return None
    coarse = np.asarray(shown.getchannel(1))[0]
    fine = np.interp(np.linspace(0, 255, levels), np.arange(256), coarse)
    return np.asarray(np.rint(fine), np.uint8)


def cmyk_to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return a CMYK picture in sRGB; None if the profile is not one of CMYK or can't be read."""
    return _to_srgb(image, profile) if profile[16:20] == b"CMYK" else None


def rgb_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return an RGB picture in sRGB; as it is if there is no profile, or none of RGB that can be read."""
    shown = _to_srgb(image, profile) if is_rgb(profile) else None
    return shown or image


def table_to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return an RGB picture in sRGB, if its profile is one of tables whose steps are shown as larger ones.

    Returns:
        None if the steps are like those of sRGB, or the profile can't be read.
    """
    axis = np.arange(0, 256 - tones.STEP, 30, dtype=np.uint8)
    colours = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(1, -1, 3)
    shown = [_to_srgb(Image.fromarray(some), profile, _EXACTLY) for some in (colours, colours + tones.STEP)]
    if shown[0] is None or shown[1] is None:
        return None
    steps = abs(np.asarray(shown[1]).astype(int) - np.asarray(shown[0]))
    return _to_srgb(image, profile, _EXACTLY) if steps.max() > 1.5 * tones.MOST_SHOWN else None


def coded_space(primaries: int, transfer: int) -> Space | None:
    """Return what code points of ITU-T H.273 mean, if their tones are unlike those of sRGB.

    Raises:
        PhotoSkipped: The space is of a kind that 8 bits can't hold, or unknown here.
    """
    check_dynamic_range(transfer)
    if transfer not in _UNLIKE_SRGB:
        return None
    if transfer not in _GAMMAS or primaries not in _PRIMARIES:
        raise PhotoSkipped(f"has tones of a curve (transfer {transfer}) that can't be kept")
    return tones.space_of(tones.gamma(_GAMMAS[transfer]), *_PRIMARIES[primaries])


def check_dynamic_range(transfer: int) -> None:
    """Refuse a transfer of high dynamic range.

    Raises:
        PhotoSkipped: It is one.
    """
    if transfer in _BRIGHT:
        raise PhotoSkipped(f"is a high dynamic range picture ({_BRIGHT[transfer]}), which 8 bits can't hold")


def coded_profile(primaries: int, transfer: int) -> bytes:
    """Return the profile for a colour space that a file names by code points.

    Args:
        primaries: Of ITU-T H.273, table 2.
        transfer: Of ITU-T H.273, table 3.

    Returns:
        An ICC profile of Display P3; b"" for sRGB, its relatives, and what is left unspecified.

    Raises:
        PhotoSkipped: The space is of a kind that 8 bits can't hold, or one without a profile here.
    """
    check_dynamic_range(transfer)
    if transfer in _UNLIKE_SRGB:
        raise PhotoSkipped(f"has tones of a curve (transfer {transfer}) that can't be kept")
    if primaries in (_SRGB_PRIMARIES, UNSPECIFIED):
        return b""
    if primaries == _P3_PRIMARIES:
        return display_p3()
    raise PhotoSkipped(f"has colours of a space (primaries {primaries}) that can't be kept")


@cache
def display_p3() -> bytes:
    """Return a profile of Display P3: its primaries, white D65, the tone curve of sRGB (ICC.1:2010)."""
    columns = tones.space_of(tones.srgb_curve(), tones.P3, tones.D65).to_xyz
    curve = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    name = "Display P3".encode("utf-16-be")
    text = b"mluc\0\0\0\0" + struct.pack(">LL2s2sLL", 1, 12, b"en", b"US", len(name), 28) + name
    tags = {
        b"desc": text,
        b"cprt": text,
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*tones.D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*tones.adaptation(tones.D65).ravel()),
        **{
            kind + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*columns[:, n])
            for n, kind in enumerate((b"r", b"g", b"b"))
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(tags)


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """Lay out an RGB display profile of version 4: header, table of tags, tags (ICC.1:2010, 7)."""
    table, body, start = struct.pack(">L", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">LL", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">L4sL4s4s4s", start + len(body), b"", 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*tones.D50)
    return head.ljust(128, b"\0") + table + body


def _fixed(*numbers: float) -> bytes:
    """Return numbers as s15Fixed16."""
    return b"".join(struct.pack(">l", round(number * 65536)) for number in numbers)


def _to_srgb(image: Image.Image, profile: bytes, flags: ImageCms.Flags = _BLACK_POINT) -> Image.Image | None:
    """Bring a picture to sRGB by the profile of its own pixels."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, _srgb(), image.mode, "RGB", _RELATIVE, flags=flags)
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError):
        return None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
