"""What an encoder has to be told to store a picture as its source was stored, or finer."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling, jpeg_factory
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import TiffImageFile

from ulecli.codec.headers import SUBSAMPLED_ACROSS, SUBSAMPLED_DOWN, avif_flags, kept_place, png_head

MIN_JPEG_QUALITY = 85
"""No JPEG is stored coarser than this quality of the JPEG library. The effect bears 75 (see README), what is
stored for the second time should not look like it, and from a source of 60 on the file grows by less
than half (`benchmarks/photo_sizes.py`)."""

LOSSY_QUALITY = {"WEBP": 90, "AVIF": 85, "HEIC": 70}
"""A lossy file of these formats does not tell its quality; each of these is as fine as a JPEG of 85."""

_PNG_COLOUR = {b"cHRM", b"cICP", b"gAMA", b"sRGB"}
_TIFF_LOSSLESS = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"}
_TIFF_PREDICTED = {"tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"}
_PREDICTOR, _HORIZONTAL = 317, 2


def settings_of(stored: ImageFile.ImageFile, file: BinaryIO, format: str) -> dict[str, Any]:
    """Return the arguments of `Image.save`, without those for metadata.

    Args:
        stored: Opened from `file`.
        file: Stays where it is.
        format: As in `SUFFIXES`.
    """
    if isinstance(stored, JpegImageFile):
        return _jpeg(stored)
    if isinstance(stored, TiffImageFile):
        return _tiff(stored)
    if reader := {"PNG": _png, "WEBP": _webp, "AVIF": _avif}.get(format):
        with kept_place(file):
            return reader(file)
    if format == "HEIC":
        chroma = stored.info.get("chroma", 420)
        # The default preset takes 11 s for 12 megapixels and saves a fifth of the bytes.
        return {"quality": LOSSY_QUALITY["HEIC"], "chroma": chroma, "enc_params": {"preset": "ultrafast"}}
    return {}


def _jpeg(stored: JpegImageFile) -> dict[str, Any]:
    """Keep the source's subsampling and, wherever they are finer than the floor, its quantisation steps.

    The perturbation is in the luma, which no subsampling touches; more chroma than the source has would
    cost bytes and show nothing new.
    """
    luma_floor, chroma_floor = _floor_tables()
    tables = stored.quantization
    used = [tables[layer[3]] for layer in stored.layer if layer[3] in tables]
    luma, *chroma = used or [luma_floor]
    sampling = get_sampling(stored)
    if stored.mode != "RGB":
        sampling = 2 if stored.mode == "L" else 0  # the chroma of a gray picture is flat
    settings: dict[str, Any] = {
        "qtables": [_finest(luma_floor, luma), _finest(chroma_floor, *chroma)],
        "subsampling": max(sampling, 0),  # a layout without a name keeps all of the colour
    }
    if "progressive" in stored.info:
        settings["progressive"] = True
    return settings


def _finest(*tables: list[int]) -> list[int]:
    return [max(1, min(steps)) for steps in zip(*tables, strict=True)]


@cache
def _floor_tables() -> tuple[list[int], list[int]]:
    """Return the luma and chroma steps that the JPEG library uses at the lowest quality allowed here."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=MIN_JPEG_QUALITY)
    buffer.seek(0)
    tables = jpeg_factory(buffer).quantization
    return list(tables[0]), list(tables[1])


def _png(file: BinaryIO) -> dict[str, Any]:
    """Keep the chunks that say what the colours mean."""
    chunks = PngInfo()
    for kind, content in png_head(file):
        if kind in _PNG_COLOUR:
            chunks.add(kind, content)
    return {"compress_level": 4, "pnginfo": chunks}


def _webp(file: BinaryIO) -> dict[str, Any]:
    """Lossless stays lossless, under transparent pixels too."""
    file.seek(0)
    chunks = file.read(64 * 1024)  # the picture's chunk follows at most a profile
    lossless = chunks[12:16] == b"VP8L" or (chunks[12:16] == b"VP8X" and b"VP8L" in chunks)
    if lossless:
        return {"lossless": True, "exact": True, "quality": 50}
    return {"quality": LOSSY_QUALITY["WEBP"], "exact": True}


def _tiff(stored: TiffImageFile) -> dict[str, Any]:
    """Keep the compression, unless it is for bilevel pictures only or loses more each time."""
    compression = str(stored.info.get("compression", "raw"))
    if compression not in _TIFF_LOSSLESS:
        compression = "tiff_adobe_deflate"
    predictor = {_PREDICTOR: _HORIZONTAL} if compression in _TIFF_PREDICTED else {}
    return {"compression": compression, "tiffinfo": predictor}


def _avif(file: BinaryIO) -> dict[str, Any]:
    """Keep the subsampling; one thread for one photo, since others are in work at the same time."""
    flags = avif_flags(file)
    sampling = "4:2:0" if flags & SUBSAMPLED_DOWN else "4:2:2" if flags & SUBSAMPLED_ACROSS else "4:4:4"
    return {"quality": LOSSY_QUALITY["AVIF"], "subsampling": sampling, "speed": 9, "max_threads": 1}
