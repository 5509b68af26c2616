"""EXIF and XMP out of an opened picture and into an encoder, under one name each whatever the format."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import TiffImageFile

_XMP_TAG, _EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 700, 34665, 34853, 37500
_PNG_XMP = "XML:com.adobe.xmp"

_TIFF_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
"""Of a TIFF's own directory: description, camera, resolution, software, date, artist, copyright. The rest is
the layout of the file."""


def of(stored: ImageFile.ImageFile) -> tuple[bytes, bytes]:
    """Return the EXIF block (with or without its prefix) and the XMP packet of a loaded picture, or b""."""
    xmp = stored.info.get("xmp") or b""
    packet = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
    if isinstance(stored, TiffImageFile):
        return _of_tiff(stored), packet
    return bytes(stored.info.get("exif") or b""), packet


def for_encoder(format: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which "exif" and "xmp" are where the encoder of a format looks for them."""
    settings = {name: value for name, value in settings.items() if value != b""}  # empty is not there
    if format == "PNG" and "xmp" in settings:
        chunks = PngInfo()
        chunks.chunks = list(settings["pnginfo"].chunks)
        chunks.add_itxt(_PNG_XMP, settings["xmp"].decode("utf-8"))
        return {**settings, "pnginfo": chunks}
    if format != "TIFF":
        return settings
    tags = Image.Exif()
    tags.load(settings.get("exif", b""))
    tags.update(settings["tiffinfo"])
    if "xmp" in settings:
        tags[_XMP_TAG] = settings["xmp"]
    rest = {name: value for name, value in settings.items() if name not in ("exif", "xmp")}
    return {**rest, "tiffinfo": tags}


def _of_tiff(stored: TiffImageFile) -> bytes:
    """Write what a TIFF tells in its tags as a block, without makers' notes, which would not survive it."""
    tags, block = stored.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in tags:
            block[tag] = tags[tag]
    for directory in (_EXIF_IFD, _GPS_IFD):
        entries = {tag: value for tag, value in tags.get_ifd(directory).items() if tag != _MAKER_NOTE}
        if entries:
            block[directory] = entries
    return block.tobytes() if len(block) else b""
