"""JPEG: segments, one walk over which serves the decoder, the auditor of metadata and the search for the end.

The JPEG library gets the bytes as they are; all that is beside the pixels is read here, so that an odd
segment of which it makes nothing does not stop the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from PIL import Image
from PIL.JpegImagePlugin import zigzag_index

from ulecli.errors import PhotoError
from ulecli.formats.format import (
    GAIN_MAP,
    REST,
    VIDEO,
    Block,
    Format,
    Range,
    Source,
    Unfollowable,
    behind,
    density,
)
from ulecli.formats.memory import Memory, image_on
from ulecli.formats.metadata.tiff_directories import BadExif, byte_order, entries_of, numbers
from ulecli.system.mapped_file import Content

MIN_QUALITY = 85
"""No JPEG is stored coarser than this quality of the JPEG library. The effect bears 75 (see README), what is
stored for the second time should not look like it, and from a source of 60 on the file grows by less
than half (`benchmarks/photo_sizes.py`)."""

XMP = b"http://ns.adobe.com/xap/1.0/\0"
LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF, _ICC, _INDEX, _PHOTOSHOP = b"Exif\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0"
_GAIN_MAPS = (b"hdrgm:Version", b"urn:iso:std:iso:ts:21496")
"""Of Ultra HDR in the XMP, and of ISO 21496-1 in a segment."""

_MORE_ITEMS = b"Item:Semantic"
"""In the XMP of a JPEG that lists what lies behind it."""

_SOI, _EOI, _SOS, _DQT, _DNL, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xFE
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_UNUSED = {0xC8, 0xDE, 0xDF}
"""Markers with a length that no picture of this process has; decoders step over what they hold."""

_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""

_MOST_SEGMENTS = 1 << 16
"""A file of more is made to take for ever: 64 MiB in segments as long as they can be are a thousand."""

_STRAY = -1
"""What lies between two segments without being one; decoders step over it."""

_LONG = {*range(0xC0, 0xD0), *range(_SOS, 0xE0), *range(0xE0, 0xF0), _COM} - _ALONE
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_FILL = re.compile(rb"\xff+")
_VIDEO = re.compile(rb"\0\0\0[\x08-\xff]ftyp")
"""The head of what cameras and phones put behind a picture (ISO/IEC 14496-12)."""

_NO_MARKERS = {0x00, *range(0xD0, 0xD8)}
"""What follows 0xFF among coded pixels."""

_PICTURES_IN_INDEX = 0xB001
_HANDLED = {
    0xE0: (b"JFIF", b"JFXX"),
    0xE1: (_EXIF, XMP),
    0xE2: (_ICC, _INDEX, _GAIN_MAPS[1]),
    0xED: (_PHOTOSHOP,),
    0xEE: (b"Adobe",),
}
"""Segments that are carried, reported elsewhere, or about pixels that are no more."""

_PADS = (bytes(64), b"\xaa\x55" * 32)
_PADDING = 8
"""The last bytes of the coded pixels may be filling; what follows is only looked for if it is more."""

_FILLING = 64
"""So many equal bytes at the end of what is decoded are no picture: an encoder's shortest codes alternate."""

_MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
"""By the number of components: Pillow's mode, and how the library's output lies (CMYK inverted, as Adobe)."""

_NAMED_SAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
_INCHES = {1: 1.0, 2: 2.54}


class Segment(NamedTuple):
    """One segment: its marker or `_STRAY`, where it starts, and where its content starts and ends.

    That of a scan goes on with the coded pixels; `end` is where these end.
    """

    marker: int
    start: int
    body: int
    end: int


def segments(data: Content) -> Iterator[Segment]:
    """Yield the segments of a JPEG up to and with the end marker.

    Raises:
        Unfollowable: There is none, or what is no segment comes before it, or there are too many.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        start = place
        if filled := _FILL.match(data, place):
            place = filled.end()
        marker = data[place] if place < len(data) else _STRAY
        if place == start or marker == 0:
            place = _next(data, place)
            if place >= len(data):
                raise Unfollowable(start)
            yield Segment(_STRAY, start, start, place)
            continue
        body, end = place + 3, place + 1 + int.from_bytes(data[place + 1 : place + 3], "big")
        if marker == _EOI:
            yield Segment(_EOI, start, place + 1, place + 1)
            return
        if marker in _ALONE:
            place += 1
            continue
        if marker not in _LONG or body > end or end > len(data):
            raise Unfollowable(start)
        place = _next(data, end) if marker == _SOS else end
        yield Segment(marker, start, body, place)
    raise Unfollowable(place)


def _next(data: Content, place: int) -> int:
    """Return where the next marker is, or the end of the data."""
    while found := _NEXT_MARKER.search(data, place):
        place = (
            found.end() - 1
        )  # a loop for what fills up before a marker: as one pattern it takes 50 times longer
        if filled := _FILL.match(data, place):
            place = filled.end()
        if place >= len(data) or data[place] not in _NO_MARKERS:
            return found.start()
    return len(data)


class _Opened(Source):
    """A JPEG whose segments were walked."""

    def __init__(self, data: Content) -> None:
        super().__init__()
        self._data: Content = data
        self._ended = False
        self._tables: dict[int, list[int]] = {}
        self._components: list[tuple[int, int, int]] = []
        self._profile: list[bytes] = []
        self._resources: dict[int, bytes] = {}
        self._gain_map = self._more_items = self._progressive = False
        missing: dict[str, None] = {}
        self.scans = 0
        lines = 0
        end = 2
        try:
            for segment in segments(data):
                end = segment.end
                content = bytes(data[segment.body : min(segment.end, segment.body + 65535)])
                if segment.marker in _FRAMES and not self._components:
                    self._read_frame(segment, content)
                elif segment.marker == _SOS:
                    self.scans += 1
                    self._scanned_from, self._scanned = segment.body, segment.end
                elif segment.marker == _DNL:
                    lines = lines or int.from_bytes(content[:2], "big")
                elif not self.scans:  # decoders heed nothing else behind the first
                    self._read(segment.marker, content, missing)
                self._ended = segment.marker == _EOI
        except Unfollowable as error:
            if not self.scans:
                raise PhotoError(f"is damaged: {error}") from None
        if not self._components or not self.scans:
            raise PhotoError("is damaged: it holds no picture")
        if lines and self.size[1] == 0:
            self._put_height(lines)
        self._finish(tuple(missing), end)

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture."""
        if memory and self._mode == "RGB":
            self.pixels = memory.room(*self.size)
            image = image_on(self.pixels)
        else:
            image = Image.new(self._mode, self.size, None)
        try:
            self._decode(self._data if self._ended else self._mended(), image)
        except ValueError:  # what follows the pixels may be all that it complains of
            self._decode(self._mended(), image)
        return image

    def _decode(self, data: Content, image: Image.Image) -> None:
        image.frombytes(data, "jpeg", _MODES[len(self._components)][1], "")  # type: ignore[arg-type]  # any buffer

    @property
    def _mode(self) -> str:
        return _MODES[len(self._components)][0]

    def _read_frame(self, segment: Segment, content: bytes) -> None:
        self._height_at = segment.body + 1
        self._progressive = segment.marker in _PROGRESSIVE
        if len(content) < 6 or len(content) < 6 + 3 * content[5]:
            raise PhotoError("is damaged: its header is truncated")
        if content[0] != 8:
            raise PhotoError(f"is damaged or no JPEG that can be read: it has {content[0]} bits per channel")
        if content[5] not in _MODES:
            raise PhotoError(f"is damaged or no JPEG that can be read: it has {content[5]} channels")
        self.size = int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big")
        self._components = [
            (content[n + 1] >> 4, content[n + 1] & 15, content[n + 2])
            for n in range(6, 6 + 3 * content[5], 3)
        ]

    def _read(self, marker: int, content: bytes, missing: dict[str, None]) -> None:
        """Read a segment before the pixels."""
        if marker == _DQT:
            self._tables |= dict(_quantisation(content))
        elif marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            inches = _INCHES.get(content[7], 0)
            dpi = tuple(inches * int.from_bytes(content[n : n + 2], "big") for n in (8, 10))
            self.settings |= density(dpi)
        elif marker == 0xE1 and content.startswith(b"Exif\0\0"):
            self.exif = self.exif + content[6:] if self.exif else content
        elif marker == 0xE1 and content.startswith(XMP):
            self.xmp = content.removeprefix(XMP)
        elif marker == 0xE2 and content.startswith(_ICC):
            self._profile.append(content)
        elif marker == 0xE2 and content.startswith(_INDEX):
            self.frames = max(1, _indexed(content.removeprefix(_INDEX)))
        elif marker == 0xED and content.startswith(_PHOTOSHOP):
            self._resources |= dict(_resources(content.removeprefix(_PHOTOSHOP)))
        elif marker == _COM:
            self.info["comment"] = content
        self._gain_map |= any(name in content for name in _GAIN_MAPS)
        self._more_items |= _MORE_ITEMS in content
        if marker == 0xE1 and content.startswith(LONG_XMP):
            missing["extended XMP"] = None
        elif 0xE0 <= marker <= 0xEF and content and not content.startswith(_HANDLED.get(marker, ())):
            missing[f"APP{marker - 0xE0} segment"] = None

    def _finish(self, missing: tuple[str, ...], end: int) -> None:
        self.not_carried = missing
        if self._resources:
            self.info["photoshop"] = self._resources
        self.profile = _joined(self._profile)
        if self._profile and not self.profile:
            self.remarks.append("its colour profile is damaged and was left out")
        self.settings |= self._settings()
        self.skip_frames, self.frame_word = False, "pictures"
        if self._gain_map and self.frames <= 2:
            self.frames = 1  # the second is the map
        if self._gain_map:
            self.remarks.append(GAIN_MAP)
        if not self._ended:
            return  # what follows is looked for where the picture is decoded
        rest = behind(self._data, end)
        if rest not in ("", REST):
            self.remarks.append(rest)
        elif not self._gain_map and self.frames == 1 and (rest or self._more_items):
            self.remarks.append(REST)

    def _settings(self) -> dict[str, Any]:
        """Keep the source's subsampling and, wherever they are finer than the floor, its quantisation steps.

        The perturbation is in the luma, which no subsampling touches; more chroma than the source has would
        cost bytes and show nothing new.
        """
        luma_floor, chroma_floor = _floor_tables()
        used = [self._tables[table] for _, _, table in self._components if table in self._tables]
        luma, *chroma = used or [luma_floor]
        sampling = 2 if self._mode == "L" else 0  # the chroma of a gray picture is flat
        if self._mode == "RGB":
            first, *others = [(across, down) for across, down, _ in self._components]
            # A layout without a name keeps all of the colour.
            sampling = _NAMED_SAMPLINGS.get(first, 0) if others == [(1, 1), (1, 1)] else 0
        settings: dict[str, Any] = {
            "qtables": [_finest(luma_floor, luma), _finest(chroma_floor, *chroma)],
            "subsampling": sampling,
        }
        return settings | ({"progressive": True} if self._progressive else {})

    def _put_height(self, lines: int) -> None:
        """Put the height, which a segment behind the first scan gives, where the decoder looks for it."""
        data = bytearray(self._data)
        data[self._height_at : self._height_at + 2] = lines.to_bytes(2, "big")
        self._data, self.size = bytes(data), (self.size[0], lines)

    def _mended(self) -> bytes:
        """Return the picture with an end marker, if nothing else of it is missing.

        Raises:
            PhotoError: Some of its pixels are missing.
        """
        video = _VIDEO.search(self._data, self._scanned_from)
        end = min(self._scanned, video.start()) if video else self._scanned
        data = bytes(self._data[:end]).rstrip(b"\xff")  # the half of an end marker
        coded = data.rstrip(data[-1:])
        if len(data) - len(coded) >= _FILLING:
            data = coded + b"\0" if coded.endswith(b"\xff") else coded  # a coded 0xff is followed by 0
        if not self._complete(data):
            raise PhotoError("is damaged: it is truncated" + self._and_more())
        if not self._ended and (end < len(self._data) or self._complete(data[:-_PADDING])):
            self.remarks.append(VIDEO if video else REST)
        return data + b"\xff\xd9"

    def _complete(self, data: bytes) -> bool:
        """Return whether all pixels are in data: then bytes that follow, whatever they are, change none."""
        one, other = (Image.new(self._mode, self.size, None) for _ in _PADS)
        for image, pad in zip((one, other), _PADS, strict=True):
            self._decode(data + pad + b"\xff\xd9", image)
        return one == other

    def _and_more(self) -> str:
        return ", and something else follows" if self._scanned < len(self._data) else ""


class _Jpeg(Format):
    """JPEG (ITU-T T.81), with the segments of JFIF, Exif, Adobe and CIPA's multi-picture format."""

    name, suffixes, encoder = "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG"
    pixels_per_byte = 512
    from_memory = True

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes are those of a JPEG."""
        return head.startswith(b"\xff\xd8\xff")

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Walk the segments."""
        return _Opened(data)

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield what the segments hold, those between and behind the scans too if the whole is asked for."""
        end, profile = 0, list[bytes]()
        for segment in segments(data):
            end = segment.end
            if segment.marker == 0xE2 and data[segment.body : segment.body + len(_ICC)] == _ICC:
                profile.append(bytes(data[segment.body : segment.end]))
            elif segment.marker == _SOS:
                if profile:
                    yield Block("ICC", _joined(profile))
                    profile = []
                if not whole:
                    return
            elif block := _block(segment.marker, data, segment):
                yield block
        if profile:
            yield Block("colour profile behind its pixels")
        if rest := len(data) - end:
            yield Block(f"{rest} bytes behind the picture")

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield the tables and frame headers, then all from the first scan to the end marker."""
        scans, end = None, len(data)
        try:
            for segment in segments(data):
                start = segment.body - 4  # without what fills up before the marker
                if segment.marker == _EOI:
                    end = segment.start
                elif scans is None and segment.marker == _STRAY:
                    raise Unfollowable(segment.start)
                elif scans is None and segment.marker == _SOS:
                    scans = start
                elif scans is None and not 0xE0 <= segment.marker <= 0xEF and segment.marker != 0xFE:
                    yield start, segment.end
        except Unfollowable:
            if scans is None:
                raise
        if scans is None:
            raise Unfollowable(end)
        yield scans, end

    def lossless(self, data: Content) -> bool:
        """No JPEG that is written here holds every level as it was."""
        return False


def _block(marker: int, data: Content, segment: Segment) -> Block | None:
    content = bytes(data[segment.body : segment.end])
    if marker == _STRAY:
        return Block("bytes between its segments")
    if marker == 0xE1 and content.startswith(_EXIF):
        return Block("EXIF", content[6:])
    if marker == 0xE1 and content.startswith(XMP):
        return Block("XMP", content.removeprefix(XMP))
    if marker == 0xE1 and content.startswith(LONG_XMP):
        return Block("XMP extension")
    if marker == 0xED:
        return Block("IPTC or Photoshop resources")
    if marker == _COM:
        return Block("comment")
    if marker in _UNUSED:
        return Block(f"segment 0xff{marker:02x}")
    if marker == 0xE0:
        return _block_of_jfif(content)
    if marker == 0xE2 and content.startswith(_INDEX):
        return Block("index of more pictures")
    if marker == 0xEE and len(content) <= 12 and content.startswith(b"Adobe"):
        return None
    return Block(f"APP{marker - 0xE0} segment") if 0xE1 <= marker <= 0xEF and content else None


def _block_of_jfif(content: bytes) -> Block | None:
    if content.startswith(b"JFXX") or (content.startswith(b"JFIF\0") and len(content) > 14):
        return Block("JFIF thumbnail")
    return None if content.startswith(b"JFIF\0") or not content.strip(b"\0") else Block("APP0 segment")


def _quantisation(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield number and steps, in the order of rows, of each table of a segment."""
    while content:
        width = 2 if content[0] >> 4 else 1
        steps = content[1 : 1 + 64 * width]
        if len(steps) < 64 * width:
            return
        coded = [int.from_bytes(steps[n : n + width], "big") for n in range(0, 64 * width, width)]
        yield content[0] & 15, [coded[place] for place in zigzag_index]
        content = content[1 + 64 * width :]


def _joined(parts: list[bytes]) -> bytes:
    """Return the profile that lies in parts, each numbered from 1; b"" if one is missing."""
    numbered = {part[12]: part[14:] for part in parts if len(part) >= 14}
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        return b""
    profile = b"".join(numbered[number] for number in sorted(numbered))
    return profile if int.from_bytes(profile[:4], "big") <= len(profile) and len(profile) > 128 else b""


def _indexed(index: bytes) -> int:
    """Return how many pictures the index of a multi-picture file names; 1 if it can't be read."""
    try:
        endian = byte_order(index)
        found = [
            numbers(one, endian) for one in entries_of(index, follow=False) if one.tag == _PICTURES_IN_INDEX
        ]
    except BadExif:
        return 1
    return found[0][0] if found and found[0] else 1


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of Photoshop's resources."""
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        number = int.from_bytes(data[place + 4 : place + 6], "big")
        place += 6 + (data[place + 6] // 2 + 1) * 2
        length = int.from_bytes(data[place : place + 4], "big")
        yield number, data[place + 4 : place + 4 + length]
        place += 4 + length + length % 2


def _finest(*tables: list[int]) -> list[int]:
    return [max(1, min(steps)) for steps in zip(*tables, strict=True)]


@cache
def _floor_tables() -> tuple[list[int], list[int]]:
    """Return the luma and chroma steps that the JPEG library uses at the lowest quality allowed here."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=MIN_QUALITY)
    data = buffer.getvalue()
    tables: dict[int, list[int]] = {}
    for segment in segments(data):
        if segment.marker == _DQT:
            tables |= dict(_quantisation(data[segment.body : segment.end]))
    return tables[0], tables[1]


JPEG = _Jpeg()
