"""A decoded photo, and the way from a file to it and back, through the one format that the file is of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import colour
from ulecli.formats.format import Format, Source, alone, refusing
from ulecli.formats.memory import QUARTER_TURNS, Memory, image_on, pixel_limit
from ulecli.formats.metadata import exif
from ulecli.formats.metadata.xmp import orientation as xmp_orientation
from ulecli.formats.pixels import to_8_bits
from ulecli.formats.registry import FORMATS, HEAD, SUPPORTED, sniff
from ulecli.system.mapped_file import Content, mapped

MAX_PIXELS = 300_000_000
"""Pictures whose header claims more are refused before a byte of them is decoded."""

_MAX_SCANS = 250
"""A progressive JPEG has some ten; each is a walk over the whole picture, and a file can claim thousands."""

_SMALL = 10_000_000
"""Pixels; what claims no more is decoded to see where it ends."""

_IN_MEMORY = 64 << 20
"""Bytes; shorter files are read at once. A disk that fails while a file is mapped ends the process."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    Attributes:
        image: RGB or RGBA, or RGBX if there are `pixels`; upright.
        format: A key of `ulecli.formats.registry.FORMATS`.
        settings: What the encoder needs to store it as the source was: compression, "icc_profile". Whoever
            wants metadata beside it adds "exif" (a block with its prefix) and "xmp" (a packet), whatever the
            format.
        remarks: What could not be kept or was decided, for the user.
        exif: The EXIF block of the source as it was, so the orientation in it is no longer right; or b"".
        xmp: The XMP packet of the source; or b"".
        info: What else the source says: comment, texts, Photoshop's resources; and "not_carried", the names
            of metadata that no mode can keep.
        pixels: (H, W, 4) uint8, the memory of an RGBX image, whose fourth byte says nothing; else None.
    """

    image: Image.Image
    format: str
    settings: dict[str, Any]
    remarks: tuple[str, ...]
    exif: bytes = b""
    xmp: bytes = b""
    info: Mapping[str, Any] = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None


def decode(
    path: Path,
    format: str,
    *,
    memory: Memory | None = None,
    first_frame: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Read a photo as an upright picture of 8 bits per channel.

    Args:
        path: The file.
        format: What its first bytes announce: a key of `ulecli.formats.registry.FORMATS`.
        memory: Put a JPEG in colour there and give it as `pixels` too; it is there until the next one.
        first_frame: Take the first picture of an animation or of several pages.
        max_pixels: Refuse a picture whose header claims more.

    Raises:
        PhotoError: It is damaged, cut short or too large.
        PhotoSkipped: It is an animation, has several pages, is of a kind that 8-bit RGB can't show, or needs
            a package that is not installed.
        MemoryError: There is not enough memory for it.
        OSError: The file can't be opened or read.
    """
    with path.open("rb") as file, _opened(file, FORMATS[format], max_pixels) as source:
        remarks: list[str] = []
        _check_frames(source, first_frame=first_frame, remarks=remarks)
        picture = _decoded(source, format, memory, remarks)
    said = xmp_orientation(picture.xmp) if FORMATS[format].turned_by_xmp else 0
    turn = exif.orientation(picture.exif, unsaid=said)
    return _upright(picture, turn, memory) if turn in _TURNS else picture


def encode(picture: Picture, image: Image.Image, part: Path) -> None:
    """Write `image`, of the size and mode of the picture, to the new file `part`, stored as the picture was.

    Raises:
        PhotoError: The encoder refuses it.
        MemoryError: There is not enough memory for it.
        OSError: The file can't be written.
    """
    format = FORMATS[picture.format]
    settings = {name: value for name, value in picture.settings.items() if value != b""}  # empty is not there
    with part.open("x+b") as file, refusing("can't be encoded"):
        image.save(file, format.encoder, **format.prepare(settings))
        format.finish(file, settings)


def read_rgb(path: Path, format: str) -> Image.Image:
    """Read back what `encode` has written, as RGB or RGBA.

    Raises:
        PhotoError: It can't be decoded.
    """
    with (
        path.open("rb") as file,
        refusing("can't be read back"),
        _opened(file, FORMATS[format], max_pixels=None) as source,
    ):
        return alone(source.load(None))


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the first picture of a photo of any supported format, as upright RGB whose numbers mean sRGB.

    Raises:
        PhotoError: It is damaged, too large, or no photo of a supported format.
        PhotoSkipped: It is of a kind that 8-bit RGB can't show, or needs a package that is not installed.
        MemoryError: There is not enough memory for it.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        format = sniff(file.read(HEAD))
    if format not in FORMATS:
        raise PhotoError(f"is {format or 'no photo'}; {SUPPORTED}")
    picture = decode(path, format, first_frame=True, max_pixels=max_pixels)
    image = picture.image if picture.image.mode == "RGB" else picture.image.convert("RGB")
    return colour.rgb_to_srgb(image, picture.settings.get("icc_profile", b""))


def load(path: Path, *, alpha: bool = False) -> tuple[Image.Image, str]:
    """Read the first picture of a photo of any format, as upright RGB with its profile, and its format.

    Args:
        path: The file.
        alpha: Return RGBA where the photo has transparency.

    Raises:
        PhotoError: It is damaged or no photo.
        PhotoSkipped: It is of a kind that can't be read.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        format = sniff(file.read(HEAD))
    if format not in FORMATS:
        raise PhotoError(f"{path.name!r} is no photo of a supported format")
    picture = decode(path, format, first_frame=True)
    modes = ("RGB", "RGBA") if alpha else ("RGB",)
    image = picture.image if picture.image.mode in modes else picture.image.convert("RGB")
    image.info["icc_profile"] = picture.settings.get("icc_profile", b"")
    return image, format


def displayed(image: Image.Image) -> Image.Image:
    """Return a picture that `load` has read as a screen shows it: RGB whose numbers mean sRGB, on white."""
    profile = image.info.get("icc_profile", b"")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return colour.rgb_to_srgb(image, profile)


@contextlib.contextmanager
def _opened(file: BinaryIO, format: Format, max_pixels: int | None) -> Iterator[Source]:
    """Open a picture by the parser of its format and no other, and check its header.

    Raises:
        PhotoError: It is damaged or too large.
        PhotoSkipped: It is of a kind that can't be read, or its package is not installed.
    """
    if reason := format.missing():
        raise PhotoSkipped(reason)
    length = os.fstat(file.fileno()).st_size
    if format.max_bytes is not None and length > format.max_bytes:
        raise PhotoError(f"is {length >> 20} MiB long; its decoder would hold all of it in memory")
    if not length:
        raise PhotoError("is empty")
    with _content(file, format, length) as data, pixel_limit.lifted():
        with refusing(f"is damaged or no {format.name} that can be read"):
            source = format.open(file, data)
            _check_size(source, format, length, max_pixels)
            source.open_decoder()
            _check_size(source, format, length, max_pixels)
        yield source


@contextlib.contextmanager
def _content(file: BinaryIO, format: Format, length: int) -> Iterator[Content]:
    if format.from_memory and length <= _IN_MEMORY:
        yield file.read()
        return
    with mapped(file) as data:
        yield data


def _check_size(source: Source, format: Format, length: int, max_pixels: int | None) -> None:
    """Refuse by the header what would take too much memory or time to decode.

    Raises:
        PhotoError: It is too large, or much too large for the bytes there are, or has too many scans.
    """
    if max_pixels is None:
        return
    width, height = source.size
    pixels = width * height
    if pixels > max_pixels:
        raise PhotoError(
            f"claims {width} x {height} pixels; the limit is {max_pixels / 1e6:g} megapixels (--max-pixels)"
        )
    if pixels < 1:
        raise PhotoError(f"claims {width} x {height} pixels")
    if pixels > max(_SMALL, length * (format.pixels_per_byte or pixels)):
        raise PhotoError(f"is damaged: {width} x {height} pixels can't be in {length} bytes")
    if source.scans > _MAX_SCANS:
        raise PhotoError(f"is damaged or made to take for ever: it has {source.scans} scans")


def _check_frames(source: Source, *, first_frame: bool, remarks: list[str]) -> None:
    """Leave animations and files of several pages alone, or take the first picture and say so.

    Raises:
        PhotoSkipped: There are several and the first alone was not asked for.
    """
    count, what = source.frames, source.frame_word
    if count == 1:
        return
    if first_frame or not source.skip_frames:
        remarks.append(f"holds {count} {what}; the {source.taken} was taken")
    elif what == "frames":
        raise PhotoSkipped(f"is an animation of {count} frames; --first-frame takes the first")
    else:
        raise PhotoSkipped(f"holds {count} {what}; --first-frame takes one")


def _decoded(source: Source, format: str, memory: Memory | None, remarks: list[str]) -> Picture:
    """Decode a picture as it lies, and let go of its decoder."""
    with refusing("is damaged"):
        image = source.load(memory)
        remarks += source.remarks
        shown = to_8_bits(image, source, remarks)
    settings = {**source.settings, **({} if shown.is_srgb else source.colours)}
    if shown.profile:
        settings["icc_profile"] = shown.profile
    pixels = source.pixels if shown.image is image else None
    info = {**source.info, "not_carried": source.not_carried}
    return Picture(
        alone(shown.image), format, settings, tuple(remarks), source.exif, source.xmp, info, pixels
    )


def _upright(picture: Picture, turn: int, memory: Memory | None) -> Picture:
    """Turn a picture as its metadata say."""
    settings = {**picture.settings}
    if turn in QUARTER_TURNS and settings.get("subsampling") == 1:
        settings["subsampling"] = 0  # 4:2:2 lying on its side has no name; keep all of the colour
    if picture.pixels is None or memory is None:
        return replace(picture, image=picture.image.transpose(_TURNS[turn]), settings=settings)
    pixels = memory.upright(picture.pixels, turn)
    return replace(picture, image=image_on(pixels), settings=settings, pixels=pixels)
