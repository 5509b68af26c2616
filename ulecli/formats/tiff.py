"""TIFF: directories of tags, some of which say that the file only looks like a photo, or would be misread."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import COMPRESSION_INFO, TiffImageFile

from ulecli.errors import PhotoSkipped
from ulecli.formats.format import Block, Format, Range, Source, Unfollowable
from ulecli.formats.memory import Memory
from ulecli.formats.metadata.exif_tags import ORIENTATION, STRUCTURE, XMP
from ulecli.formats.metadata.tiff_directories import (
    POINTERS,
    SIZES,
    BadExif,
    Entry,
    byte_order,
    entries_of,
    numbers,
)
from ulecli.formats.pixels import stored_bits
from ulecli.system.mapped_file import Content

# Tags.
_KIND_OF_PAGE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 254, 258, 259, 262, 277, 284
_PREDICTOR, _COLOUR_MAP, _INKS, _SAMPLE_FORMAT, _SUBSAMPLING, _DNG_VERSION = 317, 320, 332, 339, 530, 50706
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _MAKER_NOTE = 34665, 34853, 40965, 37500

_STRIPS, _TILES = 273, 324
_PLACES = {_STRIPS: 279, _TILES: 325, 513: 514}
"""Where pixels lie, in strips, tiles or as a JPEG, and the tags that say how long they are."""

_REDUCED = 1
"""Bit of the kind of a page: a smaller version of another."""

_CODING = {256, 257, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR}
"""Width, height, and what else the strips are decoded by."""

_SENSOR = {32803, 34892}
"""Photometric interpretations of pixels as a sensor gave them (TIFF/EP, DNG)."""

_UNCOMPRESSED, _APART = 1, 2
_WHITE_IS_ZERO, _INK, _YCBCR = 0, 5, 6
_HORIZONTAL = 2
_SORTS = {2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}
_RAW = "is a camera's raw file, as it seems; protect a JPEG made of it"

_LOSSLESS = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"}
_PREDICTED = {"tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"}
_DIRECTORIES = {_EXIF_IFD, _GPS_IFD, _INTEROP_IFD}
_LOST = {_MAKER_NOTE, _INTEROP_IFD}
"""What counts its offsets from where it was and is not followed here."""

_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
"""Of a TIFF's own directory: description, camera, resolution, software, date, artist, copyright. The rest is
the layout of the file."""

_ENTRY, _INLINE, _LONG = 12, 4, 4
_SMALL_ENDIAN = sys.byteorder == "little"
_OTHER_ORDER = {
    "RGB;16L": "RGB;16B",
    "RGB;16B": "RGB;16L",
    "RGB;16N": "RGB;16B" if _SMALL_ENDIAN else "RGB;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16N": "RGBA;16B" if _SMALL_ENDIAN else "RGBA;16L",
    "RGBX;16L": "RGBX;16B",
    "RGBX;16B": "RGBX;16L",
    "RGBX;16N": "RGBX;16B" if _SMALL_ENDIAN else "RGBX;16L",
}
"""Names of stored pixels, and of those whose higher bytes are the lower ones of these."""


class _Opened(Source):
    """A TIFF whose directories were read."""

    def __init__(self, file: BinaryIO, data: Content) -> None:
        super().__init__()
        _check_tags(data)
        self._file = file
        self._stored = stored = _opened(file)
        _check_kind(stored.tag_v2)
        self.size, self.bits = stored.size, stored_bits(stored)
        self.frames, self.frame_word = _pages(stored), "pages"
        compression = str(stored.info.get("compression", "raw"))
        if compression not in _LOSSLESS:  # for bilevel pictures only, or loses more each time
            compression = "tiff_adobe_deflate"
        predictor = {_PREDICTOR: _HORIZONTAL} if compression in _PREDICTED else {}
        self.settings = {"compression": compression, "tiffinfo": predictor}
        self.profile = bytes(stored.info.get("icc_profile") or b"")
        xmp = stored.info.get("xmp") or b""
        self.xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
        self.exif = _block_of(stored)
        self.not_carried = tuple(dict.fromkeys(_not_carried(stored)))

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture, which the library turns upright."""
        stored, tags = self._stored, self._stored.tag_v2
        photometric, colours = tags.get(_PHOTOMETRIC), tags.get(_COLOUR_MAP)
        stored.load()
        image: Image.Image = stored
        if stored.mode.startswith("I;16") and photometric == _WHITE_IS_ZERO:
            image = _inverted(stored, self.bits)
        elif (
            stored.mode == "P" and colours and max(colours) < 256
        ):  # of old software: libtiff takes it so, too
            channels = len(colours) // 3
            stored.putpalette([colours[n + channels * c] for n in range(channels) for c in range(3)])
        tags.clear()  # or the encoder would write some of them
        return image

    def low_bytes(self) -> Image.Image | None:
        """Decode the lower bytes of 16 bits per channel: in the other order they are the higher ones."""
        stored = _opened(self._file)
        tiles = []
        for tile in stored.tile:
            raw, *rest = tile.args if isinstance(tile.args, tuple) else ("",)
            if raw not in _OTHER_ORDER:
                return None
            tiles.append(tile._replace(args=(_OTHER_ORDER[raw], *rest)))
        stored.tile = tiles
        stored.load()
        return stored


class _Tiff(Format):
    """TIFF (Adobe's revision 6.0), and BigTIFF to be read."""

    name, suffixes, encoder = "TIFF", (".tif", ".tiff"), "TIFF"
    turned_by_xmp = False

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes are those of a TIFF."""
        return head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the directories."""
        return _Opened(file, data)

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield XMP and the profile, and if the whole is asked for, the file itself as one block."""
        try:
            entries = entries_of(data)
        except BadExif:
            raise Unfollowable(0) from None
        for entry in entries:
            if entry.directory == "0" and entry.tag == XMP:
                yield Block("XMP", entry.value)
        if whole:
            yield Block("TIFF", data)
            _check_places(data, entries)

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield what says how the first picture is coded, and its strips or tiles."""
        endian, places = byte_order(data), dict[int, list[int]]()
        for entry in entries_of(data, follow=False):
            if entry.tag in _CODING and entry.length:
                yield entry.at, entry.at + entry.length
            elif entry.tag in _PLACES or entry.tag in _PLACES.values():
                places[entry.tag] = numbers(entry, endian)
        for starts in (_STRIPS, _TILES):
            for start, length in zip(places.get(starts, []), places.get(_PLACES[starts], []), strict=True):
                yield start, start + length

    def prepare(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Put EXIF and XMP among the tags; the further directories wait for `finish`."""
        tags = Image.Exif()
        tags.load(settings.get("exif", b""))
        for directory in _DIRECTORIES & set(tags):
            del tags[directory]  # the encoder can't write them
        tags.update(settings["tiffinfo"])
        if "xmp" in settings:
            tags[XMP] = settings["xmp"]
        rest = {name: value for name, value in settings.items() if name not in ("exif", "xmp")}
        return {**rest, "tiffinfo": tags}

    def finish(self, file: BinaryIO, settings: dict[str, Any]) -> None:
        """Put the further directories of the EXIF block into the file."""
        if settings.get("exif"):
            add_directories(file, settings["exif"])


def _opened(file: BinaryIO) -> TiffImageFile:
    """Hand the file to the library.

    Raises:
        PhotoSkipped: It knows no such pixels.
        SyntaxError: The file is damaged.
    """
    file.seek(0)
    try:
        return TiffImageFile(file)
    except SyntaxError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, KeyError):
            raise
        if "not a TIFF" in str(error):
            raise
        raise PhotoSkipped(f"is a TIFF of a kind that can't be read: {error}") from error


def _check_tags(data: Content) -> None:
    """Leave a camera's raw file alone, and a picture whose kind the library could not even name.

    Raises:
        PhotoSkipped: It is one.
    """
    try:
        endian, entries = byte_order(data), entries_of(data)
    except (BadExif, ValueError):
        return  # a BigTIFF, or damaged: the library knows
    for entry in entries:
        sensor = entry.tag == _PHOTOMETRIC and not _SENSOR.isdisjoint(numbers(entry, endian))
        if sensor or entry.tag == _DNG_VERSION:
            raise PhotoSkipped(_RAW)
    _check_kind(_as_tags(entries, endian))


def _check_places(data: Content, entries: list[Entry]) -> None:
    """See that all that the directories point to lies in the file.

    Raises:
        Unfollowable: Something does not.
    """
    endian, places = byte_order(data), dict[tuple[str, int], list[int]]()
    for entry in entries:
        length = SIZES.get(entry.kind, 0) * entry.count
        if entry.kind not in SIZES or (length > _INLINE and entry.at + length > len(data)):
            raise Unfollowable(entry.place)
        if entry.tag in POINTERS:
            for start in numbers(entry, endian):
                _end_of_directory(data, start, endian)
        elif entry.tag in _PLACES or entry.tag in _PLACES.values():
            places.setdefault((entry.directory, entry.tag), []).extend(numbers(entry, endian))
    for (directory, tag), starts in places.items():
        lengths = places.get((directory, _PLACES.get(tag, 0)), [])
        for start, length in zip(starts, lengths, strict=False):
            if start + length > len(data):
                raise Unfollowable(start)
    start, seen = struct.unpack_from(endian + "L", data, 4)[0], set[int]()
    while start and start not in seen:
        seen.add(start)
        end = _end_of_directory(data, start, endian)
        start = struct.unpack_from(endian + "L", data, end)[0] if end + 4 <= len(data) else 0


def _end_of_directory(data: Content, start: int, endian: str) -> int:
    if start + 2 > len(data):
        raise Unfollowable(start)
    end = start + 2 + _ENTRY * int(struct.unpack_from(endian + "H", data, start)[0])
    if end > len(data):
        raise Unfollowable(start)
    return end


def _as_tags(entries: list[Entry], endian: str) -> dict[int, Any]:
    several = {_BITS, _SAMPLE_FORMAT, _SUBSAMPLING}
    found: dict[int, Any] = {}
    for entry in entries:
        if entry.directory == "0" and (values := numbers(entry, endian)):
            found.setdefault(entry.tag, tuple(values) if entry.tag in several else values[0])
    return found


def _check_kind(tags: Any) -> None:
    """Leave a page alone that would be misread, by its tags.

    Raises:
        PhotoSkipped: It would.
    """
    if reason := _unreadable(tags):
        raise PhotoSkipped(reason)


def _unreadable(tags: Any) -> str:
    bits, sort = max(tags.get(_BITS, (1,))), max(tags.get(_SAMPLE_FORMAT, (1,)))
    compression, apart = tags.get(_COMPRESSION, _UNCOMPRESSED), tags.get(_PLANAR) == _APART
    ycbcr = tags.get(_PHOTOMETRIC) == _YCBCR
    if compression not in COMPRESSION_INFO:
        return f"is compressed in a way that can't be read (TIFF compression {compression})"
    if sort in _SORTS or bits > 16:
        return f"has {bits}-bit {_SORTS.get(sort, '')}pixels, whose tones 8 bits can't keep"
    if bits > 8 and apart and max(len(tags.get(_BITS, ())), tags.get(_SAMPLES, 1)) > 1:
        return f"keeps channels of {bits} bits one after the other, which can't be read"
    if ycbcr and apart:
        return "is a TIFF that keeps Y, Cb and Cr one after the other, which can't be read"
    if ycbcr and compression == _UNCOMPRESSED and tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1):
        return "is a TIFF of uncompressed YCbCr, which can't be read"
    if tags.get(_PHOTOMETRIC) == _INK and tags.get(_INKS, 1) != 1:
        return "is a TIFF of inks other than CMYK, which can't be read"
    return ""


def _pages(stored: TiffImageFile) -> int:
    """Count the pages; a smaller version of another page is none.

    Raises:
        PhotoSkipped: The first is such, as in a camera's raw file.
    """
    kinds = []
    for number in range(stored.n_frames):
        stored.seek(number)
        kinds.append(int(stored.tag_v2.get(_KIND_OF_PAGE, 0)))
        if kinds[0] & _REDUCED:
            raise PhotoSkipped(_RAW)
    stored.seek(0)
    return sum(not kind & _REDUCED for kind in kinds)


def _inverted(stored: Image.Image, bits: int) -> Image.Image:
    """Return gray of more than 8 bits in which white is 0 the usual way round; the library does not."""
    highest = (1 << bits) - 1
    return Image.fromarray(highest - np.asarray(stored).astype(np.uint16).clip(max=highest))


def _block_of(stored: TiffImageFile) -> bytes:
    """Write what a TIFF says in its tags as a block, without makers' notes, which would not survive it."""
    tags, block = stored.getexif(), Image.Exif()
    block.endian = "<"  # as the encoder will write, and `add_directories` needs
    for tag in _TAGS:
        if tag in tags:
            block[tag] = tags[tag]
    for directory in (_EXIF_IFD, _GPS_IFD):
        entries = {tag: value for tag, value in tags.get_ifd(directory).items() if tag not in _LOST}
        if entries:
            block[directory] = entries
    return block.tobytes() if len(block) else b""


def _not_carried(stored: TiffImageFile) -> Iterator[str]:
    """Name the tags that no mode carries."""
    known = {*_TAGS, *STRUCTURE, *POINTERS, ORIENTATION, XMP}
    for tag in stored.tag_v2:
        if tag not in known:
            yield f"{TiffTags.lookup(tag).name} tag"
    if _MAKER_NOTE in stored.getexif().get_ifd(_EXIF_IFD):
        yield "maker's notes"


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


TIFF = _Tiff()
