"""Kinds of TIFF: those that only look like a photo, and those that Pillow would misread."""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL.TiffImagePlugin import COMPRESSION_INFO

from ulecli.formats.metadata.tiff_directories import BadExif, byte_order, entries_of, numbers
from ulecli.system.mapped_file import mapped

# Tags of TIFF.
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT, _SUBSAMPLING = 258, 259, 262, 284, 339, 530
_DNG_VERSION = 50706

_SENSOR = {32803, 34892}
"""Photometric interpretations of pixels as a sensor gave them (TIFF/EP, DNG)."""

_UNCOMPRESSED, _APART, _YCBCR = 1, 2, 6
_SORTS = {2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}


def is_raw(file: BinaryIO) -> bool:
    """Tell whether any directory of a TIFF says that the file is a camera's raw one."""
    try:
        with mapped(file) as content:
            endian = byte_order(content)
            return any(
                entry.tag == _DNG_VERSION
                or (entry.tag == _PHOTOMETRIC and not _SENSOR.isdisjoint(numbers(entry, endian)))
                for entry in entries_of(content)
            )
    except (BadExif, ValueError):
        return False


def unreadable(tags: Any) -> str:
    """Say why a page can't be read, by its tags as Pillow tells them; empty if nothing speaks against it."""
    bits, sort = max(tags.get(_BITS, (1,))), max(tags.get(_SAMPLE_FORMAT, (1,)))
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    if compression not in COMPRESSION_INFO:
        return f"is compressed in a way that can't be read (TIFF compression {compression})"
    if sort in _SORTS or bits > 16:
        return f"has {bits}-bit {_SORTS.get(sort, '')}pixels, whose tones 8 bits can't keep"
    if bits > 8 and tags.get(_PLANAR) == _APART and len(tags.get(_BITS, ())) > 1:
        return f"keeps channels of {bits} bits one after the other, which can't be read"
    subsampled = tags.get(_PHOTOMETRIC) == _YCBCR and tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1)
    if subsampled and compression == _UNCOMPRESSED:
        return "is a TIFF of uncompressed YCbCr, which can't be read"
    return ""
