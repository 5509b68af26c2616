"""EXIF and XMP out of an opened picture and into an encoder, under one name each whatever the format."""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from PIL import Image, ImageFile, TiffTags
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import TiffImageFile

from ulecli.formats.metadata import exif
from ulecli.formats.metadata.exif_tags import ORIENTATION, STRUCTURE
from ulecli.formats.metadata.tiff_directories import POINTERS, SIZES
from ulecli.formats.metadata.xmp import orientation as xmp_orientation

_XMP_TAG, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _MAKER_NOTE = 700, 34665, 34853, 40965, 37500
_DIRECTORIES = {_EXIF_IFD, _GPS_IFD, _INTEROP_IFD}
"""Bytes that a value of each type takes (TIFF 6.0, section 2)."""

_LOST = {_MAKER_NOTE, _INTEROP_IFD}
"""What counts its offsets from where it was and is not followed here."""

_ENTRY, _INLINE, _LONG = 12, 4, 4
_PNG_XMP = "XML:com.adobe.xmp"

_TIFF_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
"""Of a TIFF's own directory: description, camera, resolution, software, date, artist, copyright. The rest is
the layout of the file."""


_RAW_PROFILE = "Raw profile type exif"
"""The text in which ImageMagick put EXIF before PNG had a chunk for it."""

_TURNED_BY_XMP = {"JPEG", "PNG", "WEBP"}
"""In the other formats the container's word counts, and the decoder has followed it."""

_HANDLED = {
    "APP0": (b"JFIF", b"JFXX"),
    "APP1": (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"),
    "APP2": (b"ICC_PROFILE\0", b"MPF\0", b"urn:iso:std:iso:ts:21496"),
    "APP13": (b"Photoshop 3.0\0",),
    "APP14": (b"Adobe",),
    "COM": (b"",),
}
"""Segments of a JPEG that are carried, told of elsewhere, or about pixels that are no more."""


def of(stored: ImageFile.ImageFile) -> tuple[bytes, bytes]:
    """Return the EXIF block (with or without its prefix) and the XMP packet of a loaded picture, or b""."""
    xmp = stored.info.get("xmp") or b""
    packet = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
    if isinstance(stored, TiffImageFile):
        return _of_tiff(stored), packet
    return bytes(stored.info.get("exif") or _raw_profile(stored.info.get(_RAW_PROFILE))), packet


def turn(block: bytes, xmp: bytes, format: str) -> int:
    """Return how a loaded picture lies, 1 (upright) to 8; 0 if nothing says it. EXIF goes before XMP."""
    return exif.orientation(block, unsaid=xmp_orientation(xmp) if format in _TURNED_BY_XMP else 0)


def not_carried(stored: ImageFile.ImageFile) -> tuple[str, ...]:
    """Name the metadata of a JPEG, PNG or TIFF that are not carried, whatever the mode."""
    names: dict[str, None] = {}
    for name, content in getattr(stored, "applist", ()):
        if content.startswith(b"http://ns.adobe.com/xmp/extension/\0"):
            names["extended XMP"] = None
        elif not content.startswith(_HANDLED.get(name, ())):
            names[f"{name} segment"] = None
    for kind, *_ in getattr(stored, "private_chunks", ()):
        names[f"{kind.decode('latin-1')} chunk"] = None
    for name in map(str, stored.info):
        if name.startswith("Raw profile type") and name != _RAW_PROFILE:
            names[f"text {name!r}"] = None
    if isinstance(stored, TiffImageFile):
        known = {*_TIFF_TAGS, *STRUCTURE, *POINTERS, ORIENTATION, _XMP_TAG}
        names |= {f"{TiffTags.lookup(tag).name} tag": None for tag in stored.tag_v2 if tag not in known}
        if _MAKER_NOTE in stored.getexif().get_ifd(_EXIF_IFD):
            names["maker's notes"] = None
    return tuple(names)


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
    for directory in _DIRECTORIES & set(tags):
        del tags[directory]  # the encoder can't write them: see `add_directories`
    tags.update(settings["tiffinfo"])
    if "xmp" in settings:
        tags[_XMP_TAG] = settings["xmp"]
    rest = {name: value for name, value in settings.items() if name not in ("exif", "xmp")}
    return {**rest, "tiffinfo": tags}


def add_directories(file: BinaryIO, block: bytes) -> None:
    """Put the further directories of an EXIF block (exposure, position) into a TIFF that was just written.

    The block goes to the end of the file, its offsets moved by as much, and behind it a copy of the file's
    directory that also points there.

    Args:
        file: Open for reading and writing.
        block: With or without its prefix; one of another byte order than the file's is left out.
    """
    tiff = bytearray(block.removeprefix(b"Exif\0\0"))
    file.seek(0)
    head = file.read(8)
    if head[:4] != b"II*\0" or tiff[:4] != b"II*\0":
        return
    end = file.seek(0, io.SEEK_END)
    base = end + end % 2
    found = _move(tiff, struct.unpack_from("<L", tiff, 4)[0], base)
    if not found:
        return
    file.seek(struct.unpack_from("<L", head, 4)[0])
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(_ENTRY) for _ in range(count)]
    entries += [struct.pack("<HHLL", tag, _LONG, 1, place + base) for tag, place in found.items()]
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    tiff += bytes(len(tiff) % 2)
    file.seek(end)
    file.write(bytes(base - end) + tiff + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))
    file.seek(4)
    file.write(struct.pack("<L", base + len(tiff)))


def _move(tiff: bytearray, directory: int, base: int) -> dict[int, int]:
    """Add `base` to all offsets of a directory and those below it; return where those below it are."""
    below = {}
    (count,) = struct.unpack_from("<H", tiff, directory)
    for place in range(directory + 2, directory + 2 + count * _ENTRY, _ENTRY):
        tag, kind, number, offset = struct.unpack_from("<HHLL", tiff, place)
        if tag in _DIRECTORIES:
            below[tag] = offset
            _move(tiff, offset, base)
        elif SIZES.get(kind, 1) * number <= _INLINE:
            continue
        struct.pack_into("<L", tiff, place + 8, offset + base)
    return below


def _raw_profile(text: Any) -> bytes:
    try:
        return bytes.fromhex("".join(str(text or "").split("\n")[3:]))  # name and length come before it
    except ValueError:
        return b""


def _of_tiff(stored: TiffImageFile) -> bytes:
    """Write what a TIFF tells in its tags as a block, without makers' notes, which would not survive it."""
    tags, block = stored.getexif(), Image.Exif()
    block.endian = "<"  # as the encoder will write, and `add_directories` needs
    for tag in _TIFF_TAGS:
        if tag in tags:
            block[tag] = tags[tag]
    for directory in (_EXIF_IFD, _GPS_IFD):
        entries = {tag: value for tag, value in tags.get_ifd(directory).items() if tag not in _LOST}
        if entries:
            block[directory] = entries
    return block.tobytes() if len(block) else b""
