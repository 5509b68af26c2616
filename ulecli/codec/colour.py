"""Colour profiles: which kind a profile is of, gray and CMYK by their profiles, and profiles for coded names.

A profile says what the numbers of one kind of pixel mean. The output is RGB, so an RGB profile goes along as
it is, and pixels of another kind are brought to sRGB by theirs.
"""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ulecli.errors import PhotoSkipped

_RELATIVE = ImageCms.Intent.RELATIVE_COLORIMETRIC
_BLACK_POINT = ImageCms.Flags.BLACKPOINTCOMPENSATION

# Code points of ITU-T H.273, as AVIF, HEIC and PNG use them.
_SRGB_PRIMARIES, _UNSPECIFIED, _P3_PRIMARIES = 1, 2, 12
BRIGHT = {16: "PQ", 18: "HLG"}
"""Transfers of high dynamic range."""

_UNLIKE_SRGB = {5, 8, 9, 10, 17}
"""Gamma 2.8, linear, logarithmic, cinema; viewers show the others as they show sRGB."""
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_D65 = (0.3127, 0.3290)
_D50 = (0.9642, 1.0, 0.8249)
"""White of the space that profiles connect through (ICC.1, 7.2.16), XYZ."""

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def is_rgb(profile: bytes) -> bool:
    """Tell whether a profile describes RGB."""
    return profile[16:20] == b"RGB "


def gray_tones(profile: bytes) -> list[int] | None:
    """Return for each of 256 gray levels the level that looks the same in sRGB.

    Returns:
        256 levels; None if the profile is not one of gray or can't be read.
    """
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    exactly = ImageCms.Flags.NOOPTIMIZE  # its shortcuts are off by 9 levels in the dark
    shown = _to_srgb(ramp, profile, exactly) if profile[16:20] == b"GRAY" else None
    return None if shown is None else list(shown.getchannel(1).tobytes())


def cmyk_to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return a CMYK picture in sRGB; None if the profile is not one of CMYK or can't be read."""
    return _to_srgb(image, profile) if profile[16:20] == b"CMYK" else None


def rgb_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return an RGB picture in sRGB; as it is if there is no profile, or none of RGB that can be read."""
    shown = _to_srgb(image, profile) if is_rgb(profile) else None
    return shown or image


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
    if transfer in BRIGHT:
        raise PhotoSkipped(f"is a high dynamic range picture ({BRIGHT[transfer]}), which 8 bits can't hold")
    if transfer in _UNLIKE_SRGB:
        raise PhotoSkipped(f"has tones of a curve (transfer {transfer}) that can't be kept")
    if primaries in (_SRGB_PRIMARIES, _UNSPECIFIED):
        return b""
    if primaries == _P3_PRIMARIES:
        return display_p3()
    raise PhotoSkipped(f"has colours of a space (primaries {primaries}) that can't be kept")


@cache
def display_p3() -> bytes:
    """Return a profile of Display P3: its primaries, white D65, the tone curve of sRGB (ICC.1:2010)."""
    white = _xyz(_D65)
    cones = _BRADFORD @ white
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ np.array(_D50) / cones) @ _BRADFORD
    primaries = np.stack([_xyz(one) for one in _P3], axis=1)
    columns = adapt @ (primaries * np.linalg.solve(primaries, white))
    curve = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    name = "Display P3".encode("utf-16-be")
    text = b"mluc\0\0\0\0" + struct.pack(">LL2s2sLL", 1, 12, b"en", b"US", len(name), 28) + name
    tags = {
        b"desc": text,
        b"cprt": text,
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*adapt.ravel()),
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
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + table + body


def _fixed(*numbers: float) -> bytes:
    """Return numbers as s15Fixed16."""
    return b"".join(struct.pack(">l", round(number * 65536)) for number in numbers)


def _xyz(chromaticity: tuple[float, float]) -> NDArray[np.float64]:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])


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
