"""PNG: chunks, of which the decoder gets only those that make the picture.

A text or a profile can be too long for the decoder's limits, or damaged; neither says anything of the
pixels. So the decoder reads a file that is put together of header, palette and pixels, and what is beside
them is read here.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from ulecli.errors import PhotoError
from ulecli.formats import colour, tones
from ulecli.formats.format import MAX_BLOCK, REST, Block, Format, Range, Source, Unfollowable, behind, density
from ulecli.formats.memory import Memory
from ulecli.formats.metadata.stock_profiles import DESCRIPTION
from ulecli.formats.pixels import stored_bits
from ulecli.system.mapped_file import Content

_MAGIC = b"\x89PNG\r\n\x1a\n"
_MAX_TEXT = 1 << 20
"""Bytes of one text that is carried on; readers, Pillow among them, refuse files with longer ones."""

_MAX_TEXTS = 16 << 20
_MAX_PROFILE = 64 << 20
_COLOUR = {b"cHRM": 32, b"cICP": 4, b"gAMA": 4, b"sRGB": 1}
"""Chunks that say what the colours mean, and how many bytes each has."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PLAIN = {*_COLOUR, b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"sBIT", b"bKGD", b"pHYs", b"hIST", b"mDCV", b"cLLI"}
_PLAIN |= {b"acTL", b"fcTL", b"fdAT"}
_LENGTHS = {b"IHDR": 13, b"PLTE": 768, b"tRNS": 256, b"sBIT": 4, b"bKGD": 6, b"pHYs": 9, b"hIST": 512}
_LENGTHS |= {b"mDCV": 24, b"cLLI": 8, b"acTL": 8, b"fcTL": 26, **_COLOUR}
"""Bytes that such a chunk has at most; in more something hides."""

_MOST_CHUNKS = 1 << 17
"""Encoders cut pixels at 8 KiB; so many chunks are a gigabyte."""

"""Chunks that make the picture or say how it is shown; those with names and the like are not among them."""

_READ = _PLAIN | {*_TEXTS, b"iCCP", b"eXIf", b"tIME", b"sPLT"}
_TITLE = re.compile(f"(?i:icc|icc[ _]?profile|)|{DESCRIPTION.pattern}")
"""Names of a profile in its chunk that say nothing about a person."""

_XMP_KEY = "XML:com.adobe.xmp"
_RAW_EXIF = "Raw profile type exif"
"""The text in which ImageMagick put EXIF before PNG had a chunk for it."""

_PALETTE, _GRAY_ALPHA = 3, 4
_INCH = 0.0254
"""Metres."""


class Chunk(NamedTuple):
    """One chunk: its name, where it starts, and where its content starts and ends."""

    kind: bytes
    start: int
    body: int
    end: int


def chunks(data: Content) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to and with the last, IEND.

    Raises:
        Unfollowable: There is no such, a chunk is longer than the file, or there are too many.
    """
    place = len(_MAGIC)
    for _ in range(_MOST_CHUNKS):
        kind, body = bytes(data[place + 4 : place + 8]), place + 8
        end = body + int.from_bytes(data[place : place + 4], "big")
        if not (len(kind) == 4 and kind.isalpha() and kind.isascii()) or end + 4 > len(data):
            raise Unfollowable(place)
        yield Chunk(kind, place, body, end)
        if kind == b"IEND":
            return
        place = end + 4
    raise Unfollowable(place)


class _Pieces(io.RawIOBase):
    """A file that is put together of pieces of another and some bytes of its own."""

    def __init__(self, data: Content, pieces: list[tuple[int, int] | bytes]) -> None:
        self._place = 0
        self._pieces = [
            (piece, 0, len(piece)) if isinstance(piece, bytes) else (data, *piece) for piece in pieces
        ]
        self._ends = [*itertools.accumulate(end - start for _, start, end in self._pieces)]
        self._length = self._ends[-1]

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Put bytes from the position on into the buffer and return how many they are."""
        number = bisect.bisect_right(self._ends, self._place)
        if number == len(self._pieces):
            return 0
        data, _, end = self._pieces[number]
        place = end - (self._ends[number] - self._place)
        part = data[place : min(end, place + len(buffer))]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._length}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Return the position."""
        return self._place


class _Opened(Source):
    """A PNG whose chunks were read."""

    def __init__(self, data: Content) -> None:
        super().__init__()
        self._data = data
        self._found, self._broken = _all_chunks(data)
        self._stored = self._decoder()
        self.size, self.bits = self._stored.size, stored_bits(self._stored)
        self._kind = int(data[25])
        if self._kind == _PALETTE and not self._has(b"PLTE"):
            raise PhotoError("is damaged: its palette is missing")
        self._read_metadata()
        self._read_colours()
        self.frames = self._count_frames()
        self.settings = {"compress_level": 4, **self._density()}
        if remark := REST if self._broken else behind(data, self._found[-1].end + 4):
            self.remarks.append(remark)

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture."""
        if (self.bits, self._kind) == (16, _GRAY_ALPHA):
            return self._load_deep_gray_alpha()
        stored = self._stored
        stretch = {"L;2": 85, "L;4": 17}.get(str(stored.tile[0].args if stored.tile else ""))
        if stretch and "transparency" in stored.info:  # it is one of the levels before they are stretched
            stored.info["transparency"] *= stretch
        stored.load()
        return stored

    def low_bytes(self) -> Image.Image | None:
        """Decode the lower bytes of 16 bits per channel: in the other order they are the higher ones."""
        stored = self._decoder()
        raw = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}.get(str(stored.tile[0].args))
        if raw is None:
            return None
        stored.tile = [tile._replace(args=raw) for tile in stored.tile]
        stored.load()
        return stored

    def _load_deep_gray_alpha(self) -> Image.Image:
        """Decode 16 bits of gray and of opacity as what has the same bytes: four channels of 8 bits."""
        header = bytearray(self._data[8:33])
        header[16:18] = bytes([8, 6])
        header[21:25] = zlib.crc32(header[4:21]).to_bytes(4, "big")
        with self._decoder(bytes(header)) as stored:
            four = np.array(stored)
        self.opacity = Image.fromarray(np.ascontiguousarray(four[..., 2]))
        return Image.fromarray((four[..., 0].astype(np.uint16) << 8) | four[..., 1])

    def _decoder(self, header: bytes = b"") -> PngImagePlugin.PngImageFile:
        pieces: list[tuple[int, int] | bytes] = [_MAGIC]
        for chunk in self._found:
            if chunk.kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
                pieces.append((chunk.start, chunk.end + 4))
        if header:
            pieces[1] = header
        if self._broken is not None and self._data[self._broken + 4 : self._broken + 8] == b"IDAT":
            pieces.append((self._broken, len(self._data)))
        pieces.append(b"\0\0\0\0IEND\xaeB\x60\x82")
        return PngImagePlugin.PngImageFile(io.BufferedReader(_Pieces(self._data, pieces)))

    def _has(self, kind: bytes) -> bool:
        return any(chunk.kind == kind for chunk in self._found)

    def _content(self, kind: bytes, limit: int = MAX_BLOCK) -> bytes:
        """Return the content of the first chunk of a kind before the pixels or, of EXIF, anywhere."""
        for chunk in self._found:
            if chunk.kind == kind:
                return bytes(self._data[chunk.body : min(chunk.end, chunk.body + limit)])
            if chunk.kind == b"IDAT" and kind != b"eXIf":
                break
        return b""

    def _density(self) -> dict[str, Any]:
        physical = self._content(b"pHYs")
        if len(physical) != 9 or physical[8] != 1:
            return {}
        across, down = (int.from_bytes(physical[start : start + 4], "big") * _INCH for start in (0, 4))
        return density((across, down))

    def _count_frames(self) -> int:
        """Count the pictures of an animation, among them the one that is shown in its stead."""
        control = self._content(b"acTL")
        count = int.from_bytes(control[:4], "big") if len(control) >= 8 else 0
        if not 0 < count <= 0x80000000:
            return 1
        return count if self._content(b"fcTL") else count + 1

    def _read_metadata(self) -> None:
        exif = self._content(b"eXIf")
        missing: dict[str, None] = {}
        room = _MAX_TEXTS
        for chunk in self._found:
            if chunk.kind not in _READ and chunk.kind != b"IEND":
                missing[f"{chunk.kind.decode('ascii')} chunk"] = None
        for chunk in self._found:
            if chunk.kind not in _TEXTS:
                continue
            key, text = _text(chunk.kind, bytes(self._data[chunk.body : chunk.end]))
            room -= len(text or b"")
            if text is None or room < 0 or (key.startswith("Raw profile type") and key != _RAW_EXIF):
                missing[f"text {key!r}"] = None
            elif key == _XMP_KEY:
                self.xmp = text
            elif key == _RAW_EXIF:
                exif = exif or _raw_profile(text)
            else:
                self.info[key] = _decoded(chunk.kind, text)
        self.exif = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0") if exif else b""
        self.not_carried = tuple(missing)

    def _read_colours(self) -> None:
        """Read what the colours mean; of several chunks, cICP goes first, then iCCP, sRGB, gAMA."""
        kept = PngImagePlugin.PngInfo()
        found = {kind: self._content(kind) for kind in _COLOUR}
        for chunk in self._found:
            if chunk.kind == b"IDAT":
                break
            if chunk.end - chunk.body == _COLOUR.get(chunk.kind):
                kept.add(chunk.kind, bytes(self._data[chunk.body : chunk.end]))
        self.colours = {"pnginfo": kept}
        self.profile = _profile(self._content(b"iCCP"))
        if not self.profile and self._content(b"iCCP"):
            self.remarks.append("its colour profile can't be read and was left out")
        points = found[b"cICP"]
        if len(points) == 4:
            colour.check_dynamic_range(points[1])
            self.space = colour.coded_space(points[0], points[1])
            if self.space:
                self.profile = b""
        elif not found[b"sRGB"] and not self.profile:
            self.space = _gamma_space(found[b"gAMA"], found[b"cHRM"])


class _Png(Format):
    """PNG (ISO/IEC 15948, third edition)."""

    name, suffixes, encoder = "PNG", (".png",), "PNG"
    pixels_per_byte = 8 * 1032
    from_memory = True

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes are those of a PNG."""
        return head.startswith(_MAGIC)

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the chunks."""
        return _Opened(data)

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield texts, EXIF, XMP, the profile, and chunks that are not known to be harmless."""
        end = len(data)
        for chunk in chunks(data):
            end = chunk.end + 4
            if chunk.kind == b"fdAT":
                yield Block("further picture")
            elif chunk.kind == b"IEND" and chunk.end > chunk.body:
                yield Block("bytes in the last chunk")
            elif chunk.kind in _PLAIN and chunk.end - chunk.body > _LENGTHS.get(chunk.kind, len(data)):
                yield Block(f"chunk {chunk.kind.decode('ascii')!r}")
            elif chunk.kind not in _PLAIN and chunk.kind != b"IEND":
                yield _block(chunk.kind, bytes(data[chunk.body : min(chunk.end, chunk.body + MAX_BLOCK)]))
        if whole and end < len(data):
            yield Block(f"{len(data) - end} bytes behind the picture")

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield the header, the palette, what is transparent, and the pixels, however cut into chunks."""
        for chunk in chunks(data):
            if chunk.kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
                yield chunk.body, chunk.end

    def prepare(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Put XMP into a chunk."""
        if "xmp" not in settings:
            return settings
        kept = PngImagePlugin.PngInfo()
        kept.chunks = list(settings["pnginfo"].chunks) if "pnginfo" in settings else []
        kept.add_itxt(_XMP_KEY, settings["xmp"].decode("utf-8"))
        return {**settings, "pnginfo": kept}


def _all_chunks(data: Content) -> tuple[list[Chunk], int | None]:
    """Return the chunks, and where they can't be followed any more, or None if they can."""
    found: list[Chunk] = []
    try:
        for chunk in chunks(data):
            found.append(chunk)
    except Unfollowable as error:
        if not any(chunk.kind == b"IDAT" for chunk in found):
            broken = bytes(data[error.place + 4 : error.place + 8])
            raise PhotoError(
                "is damaged: it is truncated" if broken == b"IDAT" else f"is damaged: {error}"
            ) from None
        return found, error.place
    return found, None


def _block(kind: bytes, content: bytes) -> Block:
    if kind == b"eXIf":
        return Block("EXIF", content)
    if kind == b"tIME":
        return Block("time of the last change")
    if kind == b"iCCP":
        name, _, packed = content.partition(b"\0")
        if _TITLE.fullmatch(name.decode("latin-1")) and _ends(packed[1:]):
            return Block("ICC", _profile(content))
        return Block("name of the colour profile, or bytes behind it")
    if kind not in _TEXTS:
        return Block(f"chunk {kind.decode('ascii')!r}")
    key = content.partition(b"\0")[0].decode("latin-1")
    if key != _XMP_KEY or kind != b"iTXt":
        return Block(f"text {key!r}")
    text = _text(kind, content, MAX_BLOCK)[1]
    return Block("XMP", b"damaged" if text is None else text)


def _text(kind: bytes, content: bytes, limit: int = _MAX_TEXT) -> tuple[str, bytes | None]:
    """Return key and text of a chunk; None for a text that is damaged or longer than the limit."""
    name, _, rest = content.partition(b"\0")
    key, packed = name.decode("latin-1"), kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    text = _inflated(rest, limit) if packed else rest
    return key, text if text is not None and len(text) <= limit else None


def _decoded(kind: bytes, text: bytes) -> str:
    return text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")


def _inflated(data: bytes, limit: int) -> bytes | None:
    """Return what is unpacked from data; None if it is damaged or longer than the limit."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, limit + 1)
    except zlib.error:
        return None
    return content if len(content) <= limit and unpacker.eof else None


def _ends(packed: bytes) -> bool:
    """Tell whether packed data have nothing behind them."""
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        unpacker.decompress(packed, _MAX_PROFILE)
    return not unpacker.unused_data


def _profile(content: bytes) -> bytes:
    """Return the profile of a chunk; b"" if it is damaged."""
    return _inflated(content.partition(b"\0")[2][1:], _MAX_PROFILE) or b""


def _raw_profile(text: bytes) -> bytes:
    try:
        return bytes.fromhex(
            "".join(text.decode("latin-1").split("\n")[3:])
        )  # name and length come before it
    except ValueError:
        return b""


def _gamma_space(gamma: bytes, chromaticities: bytes) -> tones.Space | None:
    """Return what the chunks gAMA and cHRM say; None if there is no gamma."""
    stored = int.from_bytes(gamma[:4], "big") if len(gamma) == 4 else 0
    if not stored:
        return None
    primaries: tones.Chromaticities = tones.BT709
    white = tones.D65
    if len(chromaticities) == 32:
        numbers = [int.from_bytes(chromaticities[n : n + 4], "big") / 100_000 for n in range(0, 32, 4)]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        if all(y > 0 and x + y <= 1 for x, y in pairs):
            white, primaries = pairs[0], pairs[1:]
    try:
        return tones.space_of(tones.gamma(100_000 / stored), primaries, white)
    except np.linalg.LinAlgError:
        return None


PNG = _Png()
