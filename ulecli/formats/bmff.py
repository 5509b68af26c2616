"""The boxes of an AVIF or HEIF file and the items in them (ISO/IEC 14496-12, 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ulecli.formats.format import DEPTH, GAIN_MAP, MAX_BLOCK, REST, VIDEO, Block, Format, Range, Unfollowable
from ulecli.system.mapped_file import Content

_CODED = {b"av01", b"hvc1", b"hev1", b"avc1", b"vvc1", b"evc1", b"jpeg", b"j2k1", b"unci", b"lhv1"}
_DERIVED = {b"grid", b"iden", b"iovl"}
PICTURES = _CODED | _DERIVED
"""Kinds of items that are pictures: with pixels of their own, or made of those of others."""

_FILMS = (b"moov", b"mpvd")
_OUTER = {b"ftyp", b"meta", b"mdat", b"moov"}
_INNER = {b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat", b"dinf", b"grpl"}
_OPACITY = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_MAX_EXTENTS = 1 << 16
_ALIGNING = 3
"""Bytes between items that only bring the next to a multiple of four."""

_MAX_ITEMS = 1 << 14
"""Items, relations between them, and properties that they have; the tiles of a picture are some hundreds."""

_MAX_PROPERTIES = 1 << 18
_HARMLESS = {
    b"ispe",
    b"pixi",
    b"av1C",
    b"hvcC",
    b"colr",
    b"irot",
    b"imir",
    b"clap",
    b"pasp",
    b"auxC",
    b"clli",
    b"mdcv",
} | {b"cclv", b"amve", b"lsel", b"a1op", b"a1lx", b"rloc"}
"""Properties that say how a picture is coded or shown."""

_IN_FILE, _IN_IDAT, _IN_ITEM = 0, 1, 2


_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
}
_ANY_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf"}


def brand_of(head: bytes) -> str:
    """Return "AVIF", "HEIC" or "" by the brands that the first box of a file lists."""
    if head[4:8] != b"ftyp":
        return ""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, end - 3, 4))]
    if brands[0] not in _ANY_BRANDS | _BRANDS.keys():
        return ""
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "HEIC")


class Box(NamedTuple):
    """One box: its name, where it starts, and where its content starts and ends."""

    kind: bytes
    start: int
    body: int
    end: int


@dataclass
class Item:
    """One item of a file.

    Attributes:
        kind: Its four letters.
        content_type: Of an item of kind "mime".
        method: Where its extents lie: 0 in the file, 1 in the box idat, 2 in other items.
        extents: Offset and length of each of its pieces; a length of 0 means all there is.
        properties: Name and content of each of its properties, in their order.
    """

    kind: bytes = b""
    content_type: bytes = b""
    method: int = 0
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)


class Reference(NamedTuple):
    """One item's relation to others, by their numbers."""

    kind: bytes
    source: int
    targets: tuple[int, ...]


@dataclass
class Meta:
    """What a file says of its items.

    Attributes:
        primary: Number of the item that is the picture; 0 if none is named.
        items: All, by number.
        references: Between them.
        stored: All properties, whether an item has them or not.
        idat: Where the box idat lies; None if there is none.
        unknown: Names of boxes that are not read here.
    """

    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    stored: list[tuple[bytes, bytes]] = field(default_factory=list)
    idat: tuple[int, int] | None = None
    unknown: list[bytes] = field(default_factory=list)

    def properties(self, number: int) -> dict[bytes, bytes]:
        """Return the properties of an item by name, of those with one name the first."""
        found: dict[bytes, bytes] = {}
        for kind, content in self.items.get(number, Item()).properties:
            found.setdefault(kind, content)
        return found

    def coded_properties(self) -> dict[bytes, bytes]:
        """Return the primary item's properties, and of those that it lacks the ones of its first tile."""
        found = self.properties(self.primary)
        for kind, source, targets in self.references:
            if kind == b"dimg" and source == self.primary and targets:
                found = self.properties(targets[0]) | found
        return found

    def size(self) -> tuple[int, int] | None:
        """Return width and height of the primary item before it is cropped or turned."""
        stored = self.properties(self.primary).get(b"ispe", b"")
        if len(stored) < 12:
            return None
        return int.from_bytes(stored[4:8], "big"), int.from_bytes(stored[8:12], "big")

    def code_points(self) -> tuple[int, int] | None:
        """Return primaries and transfer of ITU-T H.273 of the primary item."""
        for kind, content in self.items.get(self.primary, Item()).properties:
            if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 8:
                return int.from_bytes(content[4:6], "big"), int.from_bytes(content[6:8], "big")
        return None

    def _under(self, *numbers: int) -> set[int]:
        """Return items and those that they are made of."""
        parts: dict[int, list[int]] = {}
        for kind, source, targets in self.references:
            if kind == b"dimg":
                parts.setdefault(source, []).extend(targets)
        found, waiting = set[int](), [*numbers]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += parts.get(one, [])
        return found

    def thumbnails(self) -> set[int]:
        """Return the items that are small versions of others."""
        return self._under(*(source for kind, source, _ in self.references if kind == b"thmb"))

    def opacities(self) -> set[int]:
        """Return the items that are the opacity of the picture, and those that they are made of."""
        found = list[int]()
        shown = self._under(self.primary)
        for kind, source, targets in self.references:
            named = self.properties(source).get(b"auxC", b"")[4:].partition(b"\0")[0]
            if kind == b"auxl" and named in _OPACITY and not shown.isdisjoint(targets):
                found.append(source)
        return self._under(*found)

    def auxiliaries(self) -> list[bytes]:
        """Return the names of what lies beside the picture for its display: gain maps, depth, masks."""
        found = [
            self.properties(source).get(b"auxC", b"")[4:].partition(b"\0")[0]
            for kind, source, _ in self.references
            if kind == b"auxl"
        ]
        return [name for name in found if name not in _OPACITY]

    def other_pictures(self) -> set[int]:
        """Return the picture items that are neither the primary one, nor its opacity, nor thumbnails."""
        own = self._under(self.primary) | self.opacities() | self.thumbnails()
        return {number for number, item in self.items.items() if item.kind in PICTURES} - own


def boxes(data: Content, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes that lie one behind the other.

    Raises:
        Unfollowable: One is longer than the room there is.
    """
    while start < end:
        length, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if length == 1:
            length, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        elif length == 0:  # to the end
            length = end - start
        if body > end or not body - start <= length <= end - start:
            raise Unfollowable(start)
        kind = bytes(data[start + 4 : start + 8])
        yield Box(kind, start, body + (16 if kind == b"uuid" else 0), start + length)
        start += length


def read_meta(data: Content) -> Meta:
    """Read the items of a file.

    Raises:
        Unfollowable: The boxes don't fit into each other.
    """
    for box in boxes(data, 0, len(data)):
        if box.kind == b"meta":
            return _meta(data, box)
    raise Unfollowable(len(data))


def _meta(data: Content, box: Box) -> Meta:
    meta = Meta()
    children: dict[bytes, Box] = {}
    for child in boxes(data, box.body + 4, box.end):
        if child.kind in _INNER and child.kind not in children:
            children[child.kind] = child
        elif not (child.kind in (b"free", b"skip") and not any(data[child.body : child.end])):
            meta.unknown.append(child.kind)
    if b"idat" in children:
        meta.idat = children[b"idat"].body, children[b"idat"].end
    for kind, read in _READERS:
        if kind in children:
            read(_Reader(data, children[kind]), meta)
    return meta


class _Reader:
    """Numbers, one behind the other, in a box."""

    def __init__(self, data: Content, box: Box) -> None:
        self.data, self.box, self.place, self.end = data, box, box.body, box.end

    def number(self, size: int) -> int:
        """Return the next number of so many bytes.

        Raises:
            Unfollowable: The box has no more.
        """
        if self.place + size > self.end:
            raise Unfollowable(self.place)
        self.place += size
        return int.from_bytes(self.data[self.place - size : self.place], "big")

    def version(self) -> tuple[int, int]:
        """Return version and flags of the box."""
        return self.number(1), self.number(3)

    def text(self) -> bytes:
        """Return what comes before the next zero."""
        found = bytes(self.data[self.place : self.end]).partition(b"\0")[0]
        self.place += len(found) + 1
        return found


def _read_pitm(reader: _Reader, meta: Meta) -> None:
    version, _ = reader.version()
    meta.primary = reader.number(2 if version == 0 else 4)


def _read_iinf(reader: _Reader, meta: Meta) -> None:
    version, _ = reader.version()
    reader.number(2 if version == 0 else 4)
    for box in boxes(reader.data, reader.place, reader.end):
        entry = _Reader(reader.data, box)
        version, _ = entry.version()
        number = entry.number(4 if version >= 3 else 2)
        if len(meta.items) > _MAX_ITEMS:
            raise Unfollowable(box.start)
        item = meta.items.setdefault(number, Item())
        entry.number(2)
        if version >= 2:
            item.kind = entry.number(4).to_bytes(4, "big")
            entry.text()
            item.content_type = entry.text() if item.kind == b"mime" else b""
        else:  # of before there were kinds
            entry.text()
            item.kind, item.content_type = b"mime", entry.text()


def _read_iloc(reader: _Reader, meta: Meta) -> None:
    version, _ = reader.version()
    sizes = reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    room = _MAX_EXTENTS
    for _ in range(reader.number(wide)):
        item = meta.items.setdefault(reader.number(wide), Item())
        item.method = reader.number(2) & 15 if version > 0 else _IN_FILE
        elsewhere = reader.number(2)
        base = reader.number(base_size)
        count = reader.number(2)
        room -= count
        if room < 0 or elsewhere or len(meta.items) > _MAX_ITEMS:
            raise Unfollowable(reader.place)
        for _ in range(count):
            reader.number(index_size if version > 0 else 0)
            offset = base + reader.number(offset_size)
            item.extents.append((offset, reader.number(length_size)))


def _read_iref(reader: _Reader, meta: Meta) -> None:
    version, _ = reader.version()
    wide, room = 2 if version == 0 else 4, _MAX_EXTENTS
    for box in boxes(reader.data, reader.place, reader.end):
        entry = _Reader(reader.data, box)
        source, count = entry.number(wide), entry.number(2)
        room -= count + 1
        if room < 0:
            raise Unfollowable(box.start)
        targets = tuple(entry.number(wide) for _ in range(count))
        meta.references.append(Reference(box.kind, source, targets))


def _read_iprp(reader: _Reader, meta: Meta) -> None:
    children = list(boxes(reader.data, reader.place, reader.end))
    for box in children:
        if box.kind == b"ipco":
            for one in boxes(reader.data, box.body, box.end):
                meta.stored.append(
                    (one.kind, bytes(reader.data[one.body : min(one.end, one.body + MAX_BLOCK)]))
                )
                if len(meta.stored) > _MAX_ITEMS:
                    raise Unfollowable(one.start)
    for box in children:
        if box.kind == b"ipma":
            _associate(_Reader(reader.data, box), meta)


def _associate(reader: _Reader, meta: Meta) -> None:
    version, flags = reader.version()
    room = _MAX_PROPERTIES
    for _ in range(reader.number(4)):
        item = meta.items.setdefault(reader.number(2 if version == 0 else 4), Item())
        count = reader.number(1)
        room -= count + 1
        if room < 0 or len(meta.items) > _MAX_ITEMS:
            raise Unfollowable(reader.place)
        for _ in range(count):
            index = reader.number(2) & 0x7FFF if flags & 1 else reader.number(1) & 0x7F
            if index > len(meta.stored):
                raise Unfollowable(reader.place)
            if index:
                item.properties.append(meta.stored[index - 1])


_READERS = (
    (b"pitm", _read_pitm),
    (b"iinf", _read_iinf),
    (b"iloc", _read_iloc),
    (b"iref", _read_iref),
    (b"iprp", _read_iprp),
)


def content_of(data: Content, meta: Meta, item: Item, limit: int = MAX_BLOCK) -> bytes:
    """Return the bytes of an item, so many at most.

    Raises:
        Unfollowable: They are not in the file, or in other items.
    """
    if item.method not in (_IN_FILE, _IN_IDAT) or (item.method == _IN_IDAT and meta.idat is None):
        raise Unfollowable(len(data))
    first, last = meta.idat if item.method == _IN_IDAT and meta.idat else (0, len(data))
    found = b""
    for offset, length in item.extents:
        start = first + offset
        end = start + length if length else last
        if end > last:
            raise Unfollowable(start)
        found += bytes(data[start : min(end, start + limit - len(found))])
    return found


def image_ranges(data: Content) -> Iterator[Range]:
    """Yield where the items lie that are no metadata, in the order of their numbers.

    Raises:
        Unfollowable: The boxes don't fit into each other.
    """
    meta = read_meta(data)
    for _, item in sorted(meta.items.items()):
        if item.kind in (b"", b"Exif", b"mime", b"uri "):
            continue
        first = meta.idat[0] if item.method == _IN_IDAT and meta.idat else 0
        for offset, length in item.extents:
            yield first + offset, first + offset + length


def metadata_blocks(data: Content, whole: bool) -> Iterator[Block]:
    """Yield what the file holds beside its picture.

    Args:
        data: Content of the file.
        whole: Look at more than EXIF and XMP.

    Raises:
        Unfollowable: The structure is broken.
    """
    meta = read_meta(data)
    for number, item in meta.items.items():
        if block := _block_of_item(data, meta, number, item):
            yield block
    if not whole:
        return
    if meta.thumbnails():
        yield Block("thumbnail")
    if meta.other_pictures():
        yield Block("picture in the picture")
    for kind, content in dict.fromkeys(meta.stored):
        if kind == b"colr" and content[:4] in (b"prof", b"rICC"):
            yield Block("ICC", content[4:])
        elif kind not in _HARMLESS and not (kind in (b"free", b"skip") and not any(content)):
            yield Block(f"property {kind.decode('latin-1')!r}")
    for kind in dict.fromkeys(meta.unknown):
        yield Block(f"box {kind.decode('latin-1')!r}")
    seen = set[bytes]()
    for box in boxes(data, 0, len(data)):
        empty = box.kind in (b"free", b"skip") and not any(data[box.body : box.end])
        if not empty and (box.kind not in _OUTER or (box.kind != b"mdat" and box.kind in seen)):
            yield Block(f"box {box.kind.decode('latin-1')!r}")
        elif box.kind == b"moov":
            yield Block("further picture")
        elif box.kind == b"mdat" and _holds_more(data, meta, box):
            yield Block("bytes that no item holds")
        seen.add(box.kind)


def _holds_more(data: Content, meta: Meta, box: Box) -> bool:
    """Tell whether bytes of a box of contents belong to no item, beyond filling."""
    pieces = [piece for item in meta.items.values() if item.method == _IN_FILE for piece in item.extents]
    place = box.body
    for start, length in sorted(pieces):
        if _says_more(data[place : max(place, min(start, box.end))]):
            return True
        place = max(place, start + length if length else box.end)
    return _says_more(data[place : box.end])


def _says_more(rest: bytes) -> bool:
    return len(rest.strip(b"\0")) > _ALIGNING


def _block_of_item(data: Content, meta: Meta, number: int, item: Item) -> Block | None:
    if item.kind == b"Exif":
        content = content_of(data, meta, item)  # four bytes say how far it is to the TIFF header
        return Block("EXIF", content[4 + int.from_bytes(content[:4], "big") :])
    if item.kind == b"mime" and item.content_type == b"application/rdf+xml":
        return Block("XMP", content_of(data, meta, item))
    if item.kind in PICTURES or number == meta.primary:
        return None
    return Block(f"item {(item.content_type or item.kind).decode('latin-1')!r}")


def left_out(data: Content) -> list[str]:
    """Say that a gain map, a depth map, a video or something unknown behind the picture is left out."""
    found: dict[str, None] = {}
    try:
        meta = read_meta(data)
        names = [name.lower() for name in meta.auxiliaries()]
        gain_map = any(b"gainmap" in name for name in names)
        if gain_map or any(item.kind == b"tmap" for item in meta.items.values()):
            found[GAIN_MAP] = None
        if any(b"gainmap" not in name for name in names):
            found[DEPTH] = None
        for place, box in enumerate(boxes(data, 0, len(data))):
            if box.kind in _FILMS or (box.kind == b"ftyp" and place):
                found[VIDEO] = None
    except Unfollowable as error:
        if any(data[error.place :][:4096]):
            found[REST] = None
    return list(found)


class ItemFormat(Format):
    """What AVIF and HEIC have in common: a picture that is an item among others."""

    max_bytes = 512 << 20
    turned_by_xmp = False

    def accepts(self, head: bytes) -> bool:
        """Return whether the first box lists a brand of this format before one of another; see `brand_of`."""
        return brand_of(head) == self.name

    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield EXIF, XMP, and items and boxes that are no part of the picture."""
        return metadata_blocks(data, whole)

    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield the items that are coded pictures."""
        return image_ranges(data)

    def lossless(self, data: Content) -> bool:
        """None that is written here holds every level as it was."""
        return False
