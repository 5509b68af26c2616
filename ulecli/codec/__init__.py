"""Photo files to upright pictures and back, in the same format and with the same settings.

A picture is RGB or RGBA; or on request, of a JPEG in colour, RGBX: RGB whose memory is an array as well, so
that it can be changed in place, without a copy of any pixel.

A file is handed only to the decoder of the format that its first bytes announce: it can't reach another
format's parser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ulecli.codec import metadata
from ulecli.codec.beside import left_out
from ulecli.codec.headers import bits_of, profile_of
from ulecli.codec.memory import QUARTER_TURNS, Memory, image_on
from ulecli.codec.opening import MAX_PIXELS, check_frames, check_size, opened, refusing
from ulecli.codec.pixels import stored_bits, to_8_bits
from ulecli.codec.storing import settings_of
from ulecli.errors import PhotoSkipped

__all__ = ["MAX_PIXELS", "Memory", "Picture", "decode", "encode", "read_rgb"]

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
        format: A key of `ulecli.codec.formats.SUFFIXES`.
        settings: What the encoder needs to store it as the source was: compression, "icc_profile". Whoever
            wants metadata beside it adds "exif" (a block with its prefix) and "xmp" (a packet), whatever the
            format.
        remarks: What could not be kept or was decided, for the user.
        exif: The EXIF block of the source as it was, so the orientation in it is no longer right; or b"".
        xmp: The XMP packet of the source; or b"".
        info: What else Pillow tells of the source: comment, texts, Photoshop's resources; and "not_carried",
            the names of metadata that no mode can keep.
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
        format: What its first bytes announce: a key of `ulecli.codec.formats.SUFFIXES`.
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
    with path.open("rb") as file:
        picture = _read(file, format, memory, first_frame=first_frame, max_pixels=max_pixels)
    turn = metadata.turn(picture.exif, picture.xmp, format)
    return _upright(picture, turn, memory) if turn in _TURNS else picture


def encode(picture: Picture, image: Image.Image, part: Path) -> None:
    """Write `image`, of the size and mode of the picture, to the new file `part`, stored as the picture was.

    Raises:
        PhotoError: The encoder refuses it.
        MemoryError: There is not enough memory for it.
        OSError: The file can't be written.
    """
    name = picture.format
    if name == "HEIC":
        from pillow_heif import register_heif_opener

        register_heif_opener()
        name = "HEIF"
    with part.open("x+b") as file, refusing("can't be encoded"):
        image.save(file, name, **metadata.for_encoder(picture.format, picture.settings))
        if picture.settings.get("exif") and name == "TIFF":
            metadata.add_directories(file, picture.settings["exif"])


def read_rgb(path: Path, format: str) -> Image.Image:
    """Read back what `encode` has written, as RGB or RGBA.

    Raises:
        PhotoError: It can't be decoded.
    """
    with path.open("rb") as file, refusing("can't be read back"), opened(file, format) as stored:
        stored.load()
        return stored._new(stored.im)  # the pixels, not copied, without their decoder


def _read(
    file: BinaryIO, format: str, memory: Memory | None, *, first_frame: bool, max_pixels: int
) -> Picture:
    """Read a photo as it lies, and let go of its decoder."""
    remarks: list[str] = []
    pixels = None
    with opened(file, format) as stored:
        check_size(stored, file, format, max_pixels)
        check_frames(stored, first_frame=first_frame, remarks=remarks)
        with refusing("is damaged"):
            settings = settings_of(stored, file, format)
            bits = max(stored_bits(stored), bits_of(stored, file, format))
            # Without a tile there is nothing to decode, which Pillow only refuses where it has no memory yet.
            if memory and isinstance(stored, JpegImageFile) and stored.mode == "RGB" and stored.tile:
                pixels = memory.room(*stored.size)
                stored.im = image_on(pixels).im  # where the decoder will write
            stored.load()
            block, xmp = metadata.of(stored)  # after loading: a PNG may tell it behind the pixels
            info = {str(name): value for name, value in stored.info.items()}
            info["not_carried"] = metadata.not_carried(stored)
            remarks += left_out(stored, file, format)
            image, profile = to_8_bits(stored, bits, profile_of(stored, file, format), remarks)
    if format == "BMP":
        image = _without_empty_alpha(image)
    if profile:
        settings["icc_profile"] = profile
    # The pixels alone, not copied: some encoders write what they find in a file's `info` or tags.
    image = image._new(image.im)
    image.info = {}
    return Picture(image, format, settings, tuple(remarks), block, xmp, info, pixels)


def _upright(picture: Picture, turn: int, memory: Memory | None) -> Picture:
    """Turn a picture as its metadata say."""
    settings = {**picture.settings}
    if turn in QUARTER_TURNS and settings.get("subsampling") == 1:
        settings["subsampling"] = 0  # 4:2:2 lying on its side has no name; keep all of the colour
    if picture.pixels is None or memory is None:
        return replace(picture, image=picture.image.transpose(_TURNS[turn]), settings=settings)
    pixels = memory.upright(picture.pixels, turn)
    return replace(picture, image=image_on(pixels), settings=settings, pixels=pixels)


def _without_empty_alpha(image: Image.Image) -> Image.Image:
    """Make a BMP opaque; in most that have a fourth channel it says nothing.

    Raises:
        PhotoSkipped: It says something, and a BMP that is written here can't.
    """
    if image.mode != "RGBA":
        return image
    if image.getchannel("A").getextrema() not in ((0, 0), (255, 255)):
        raise PhotoSkipped("is a BMP with transparency, which can't be written; make it a PNG")
    return image.convert("RGB")
