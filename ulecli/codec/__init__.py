"""Photo files to upright pictures and back, in the same format and with the same settings.

A picture is RGB; or, of nearly every JPEG, the YCbCr that the file holds: two conversions of every pixel
less than by way of RGB, and luma can be changed without a touch to the colour.

Only JPEG, PNG and WebP are ever handed to a decoder, each to its own: what a file's first bytes do not
announce can't reach another format's parser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling, jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ulecli import exif
from ulecli.errors import PhotoError, PhotoSkipped

MAX_PIXELS = 300_000_000
"""Pictures whose header claims more are refused before a byte of them is decoded."""

MIN_JPEG_QUALITY = 90
"""No output is stored coarser than this quality of the JPEG library, so that storing costs little effect."""

MIN_WEBP_QUALITY = 90

_OPENERS = {"JPEG": jpeg_factory, "PNG": PngImageFile, "WEBP": WebPImageFile}
# Image.open would check its own, lower limit of pixels, which can only be moved for the whole process.

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = {5, 6, 7, 8}


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    Attributes:
        image: RGB, or YCbCr where a JPEG holds that; upright.
        alpha: L, upright; None for an opaque format.
        format: "JPEG", "PNG" or "WEBP".
        settings: What the encoder needs to store it as the source was: metadata and compression.
        remarks: What could not be kept or was decided, for the user.
    """

    image: Image.Image
    alpha: Image.Image | None
    format: str
    settings: dict[str, Any]
    remarks: tuple[str, ...]


def decode(path: Path, format: str, *, rgb: bool = False) -> Picture:
    """Read a photo as an upright picture of 8 bits per channel.

    Args:
        path: The file.
        format: What its first bytes announce: "JPEG", "PNG" or "WEBP".
        rgb: Make it RGB whatever the file holds.

    Raises:
        PhotoError: It is damaged, cut short, too large or of a kind that can't be turned to RGB.
        PhotoSkipped: It is an animation.
        OSError: The file can't be opened.
    """
    remarks: list[str] = []
    with path.open("rb") as file, _opened(file, format) as stored:
        width, height = stored.size
        if width * height > MAX_PIXELS:
            limit = MAX_PIXELS // 1_000_000
            raise PhotoError(f"claims {width} x {height} pixels; the limit is {limit} megapixels")
        _check_frames(stored, remarks)
        settings = _settings(stored, format)
        if not rgb and isinstance(stored, JpegImageFile) and _holds_ycbcr(stored):
            stored.draft("YCbCr", None)
        try:
            stored.load()
        except Exception as error:  # decoders raise what they like on damaged data
            raise PhotoError(f"is damaged: {_one_line(error)}") from error
        block = stored.info.get("exif") or b""  # after loading: a PNG may tell it behind the pixels
        profile = stored.info.get("icc_profile") or b""
        image, alpha = _channels(stored, remarks)
        if profile and profile[16:20] == b"RGB " and stored.mode not in ("L", "LA", "CMYK", "I;16"):
            settings["icc_profile"] = profile
        elif profile:
            remarks.append("its colour profile is not one for RGB and was left out")
    image.info = {}  # some encoders would write what they find there
    turn = exif.orientation(block) if block else 1
    if block:
        try:
            settings["exif"] = exif.upright(block)
        except exif.BadExif:
            remarks.append("its EXIF is damaged and was left out")
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
        alpha = alpha.transpose(_TURNS[turn]) if alpha else None
        if turn in _QUARTER_TURNS and settings.get("subsampling") == 1:
            settings["subsampling"] = 0  # 4:2:2 lying on its side has no name; keep all of the colour
    return Picture(image, alpha, format, settings, tuple(remarks))


def encode(picture: Picture, image: Image.Image, part: Path) -> None:
    """Write `image`, of the size and mode of the picture, to the new file `part`, stored as the picture was.

    Raises:
        PhotoError: The encoder refuses it.
        OSError: The file can't be written.
    """
    if picture.alpha:
        image = image.copy()
        image.putalpha(picture.alpha)
    with part.open("xb") as file:
        try:
            image.save(file, picture.format, **picture.settings)
        except OSError as error:
            if error.errno is not None:
                raise
            raise PhotoError(f"can't be encoded: {_one_line(error)}") from error
        except (ValueError, SyntaxError) as error:
            raise PhotoError(f"can't be encoded: {_one_line(error)}") from error


def read_rgb(path: Path, format: str) -> Image.Image:
    """Read back what `encode` has written, as RGB without its alpha.

    Raises:
        PhotoError: It can't be decoded.
    """
    with path.open("rb") as file, _opened(file, format) as stored:
        try:
            stored.load()
        except Exception as error:
            raise PhotoError(f"can't be read back: {_one_line(error)}") from error
        if stored.mode == "RGB":
            return stored
        return Image.merge("RGB", stored.convert("RGBA").split()[:3])


@contextlib.contextmanager
def _opened(file: BinaryIO, format: str) -> Iterator[ImageFile.ImageFile]:
    try:
        stored: ImageFile.ImageFile = _OPENERS[format](file)
    except Exception as error:
        raise PhotoError(f"is damaged or not a {format} that can be read: {_one_line(error)}") from error
    with stored:
        yield stored


def _check_frames(stored: ImageFile.ImageFile, remarks: list[str]) -> None:
    frames = int(getattr(stored, "n_frames", 1))
    if frames > 1 and stored.format == "MPO":
        remarks.append(f"holds {frames} pictures; the first was taken")
    elif frames > 1:
        raise PhotoSkipped(f"is an animation of {frames} frames")


def _holds_ycbcr(stored: JpegImageFile) -> bool:
    """Tell whether the JPEG library takes three components for YCbCr; it can't make that of stored RGB."""
    names = bytes(layer[0] for layer in stored.layer)
    return stored.mode == "RGB" and names != b"RGB" and stored.info.get("adobe_transform", 1) == 1


def _channels(stored: Image.Image, remarks: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Return RGB or YCbCr and, where the picture has one, the opacity (L)."""
    mode = stored.mode
    if mode == "YCbCr":
        return stored, None
    if mode == "RGB" and "transparency" not in stored.info:
        if any("16" in str(tile.args) for tile in getattr(stored, "tile", ())):
            remarks.append("16 bits per channel became 8")
        return stored, None
    if mode.startswith("I;16"):
        wide = np.asarray(stored).astype(np.uint32)
        remarks.append("16 bits per channel became 8")
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB"), None
    if mode in ("RGBA", "LA", "PA") or "transparency" in stored.info:
        *colours, alpha = stored.convert("RGBA").split()
        return Image.merge("RGB", colours), alpha
    if mode == "CMYK":
        remarks.append("CMYK became RGB")
    elif mode not in ("1", "L", "P"):
        raise PhotoError(f"has pixels of a kind ({mode}) that can't be turned to 8-bit RGB")
    return stored.convert("RGB"), None


def _settings(stored: ImageFile.ImageFile, format: str) -> dict[str, Any]:
    if format == "PNG":
        return {"compress_level": 4}
    if format == "WEBP":
        return _webp_settings(stored)
    assert isinstance(stored, JpegImageFile)
    return _jpeg_settings(stored)


def _jpeg_settings(stored: JpegImageFile) -> dict[str, Any]:
    """Keep the source's subsampling and, wherever they are finer than the floor, its quantisation steps."""
    luma_floor, chroma_floor = _floor_tables()
    tables = stored.quantization
    used = [tables[layer[3]] for layer in stored.layer if layer[3] in tables]
    luma, *chroma = used or [luma_floor]
    sampling = get_sampling(stored)
    if stored.mode not in ("RGB", "YCbCr"):
        sampling = 2 if stored.mode == "L" else 0  # the chroma of a gray picture is flat
    settings: dict[str, Any] = {
        "qtables": [_finest(luma_floor, luma), _finest(chroma_floor, *chroma)],
        "subsampling": max(sampling, 0),  # a layout without a name keeps all of the colour
    }
    if "progressive" in stored.info:
        settings["progressive"] = True
    return settings


def _finest(*tables: list[int]) -> list[int]:
    return [min(steps) for steps in zip(*tables, strict=True)]


@cache
def _floor_tables() -> tuple[list[int], list[int]]:
    """Return the luma and chroma steps that the JPEG library uses at the lowest quality allowed here."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=MIN_JPEG_QUALITY)
    buffer.seek(0)
    tables = jpeg_factory(buffer).quantization
    return list(tables[0]), list(tables[1])


def _webp_settings(stored: ImageFile.ImageFile) -> dict[str, Any]:
    """Lossless stays lossless, under transparent pixels too; a lossy file does not tell its quality."""
    assert stored.fp is not None
    stored.fp.seek(0)
    chunks = stored.fp.read(64 * 1024)  # the picture's chunk follows at most a profile
    lossless = chunks[12:16] == b"VP8L" or (chunks[12:16] == b"VP8X" and b"VP8L" in chunks)
    if lossless:
        return {"lossless": True, "exact": True, "quality": 50}
    return {"quality": MIN_WEBP_QUALITY, "exact": True}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
