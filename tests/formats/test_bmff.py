"""Boxes and items, in every way of laying them that the standard has; libavif says that they are legal."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pytest
from formats.table import box, decoded, exif_block, stored

from ulecli.errors import PhotoSkipped
from ulecli.formats import bmff
from ulecli.formats.audit import leaks, mark_in
from ulecli.formats.format import Unfollowable
from ulecli.formats.metadata.xmp import Mark, packet

PRIMARY, EXIF, XMP = 1, 2, 3
XMP_TYPE = b"application/rdf+xml"
_HIDDEN = [(EXIF, b"Exif"), (XMP, b"mime")]


@dataclass
class Layout:
    """How a file is laid: versions of boxes, sizes of numbers, and where items lie."""

    iloc: int = 1
    infe: int = 2
    wide_index: bool = False
    pieces: int = 1
    method: int = 0
    long_sizes: bool = False
    to_the_end: bool = False
    meta_last: bool = False
    base: bool = False
    extra: bytes = b""
    """Further boxes in the box of properties' neighbours, at the end of the items' description."""


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def full(kind: bytes, version: int, *content: bytes, flags: int = 0) -> bytes:
    return box(kind, number(version, 1), number(flags, 3), *content)


def outer(kind: bytes, content: bytes, layout: Layout) -> bytes:
    if layout.to_the_end and kind == b"mdat":
        return bytes(4) + kind + content
    if layout.long_sizes:
        return number(1, 4) + kind + number(16 + len(content), 8) + content
    return box(kind, content)


def source() -> tuple[bytes, bmff.Meta, bytes]:
    content = stored("AVIF")
    meta = bmff.read_meta(content)
    return content, meta, bmff.content_of(content, meta, meta.items[meta.primary])


def items() -> dict[int, bytes]:
    return {
        PRIMARY: source()[2],
        EXIF: bytes(4) + exif_block(),
        XMP: packet(Mark("1", 8)),
    }


def described(layout: Layout, starts: dict[int, int], contents: dict[int, bytes], idat: bytes) -> bytes:
    """Return the box meta."""
    _, meta, _ = source()
    id_size = 4 if layout.iloc == 2 else 2
    entries = b""
    for item, kind in ((PRIMARY, b"av01"), *_HIDDEN):
        named = kind + b"\0" + (XMP_TYPE + b"\0" if kind == b"mime" else b"")
        entries += full(b"infe", layout.infe, number(item, 4 if layout.infe == 3 else 2), b"\0\0", named)
    places = b""
    for item, content in contents.items():
        inside = layout.method == 1 and item != PRIMARY
        places += number(item, id_size) + (number(inside, 2) if layout.iloc else b"") + b"\0\0"
        base = starts[item] if layout.base else 0
        places += number(base, 4) + number(layout.pieces, 2)
        step = -(-len(content) // layout.pieces)
        for start in range(0, step * layout.pieces, step):
            places += number(starts[item] - base + start, 4)
            places += number(len(content[start : start + step]), 4)
    properties = [(kind, said) for kind, said in meta.items[meta.primary].properties if kind != b"colr"]
    stored_properties = b"".join(box(kind, said) for kind, said in properties)
    count = len(properties)
    indexes = b"".join(
        number(0x8000 | n + 1, 2) if layout.wide_index else number(0x80 | n + 1, 1) for n in range(count)
    )
    related = full(
        b"ipma", 0, number(1, 4), number(PRIMARY, 2), number(count, 1), indexes, flags=layout.wide_index
    )
    return box(
        b"meta",
        bytes(4),
        full(b"hdlr", 0, bytes(4), b"pict", bytes(12), b"\0"),
        full(b"pitm", 0, number(PRIMARY, 2)),
        full(b"iloc", layout.iloc, b"\x44\x40", number(len(contents), id_size), places),
        full(b"iinf", 0, number(3, 2), entries),
        full(b"iref", 0, *(box(b"cdsc", number(one, 2), b"\0\1", number(PRIMARY, 2)) for one in (EXIF, XMP))),
        box(b"iprp", box(b"ipco", stored_properties), related),
        box(b"idat", idat) if idat else b"",
        layout.extra,
    )


def laid(layout: Layout) -> bytes:
    """Return an AVIF with EXIF and XMP, laid so."""
    contents = items()
    idat = contents[EXIF] + contents[XMP] if layout.method == 1 else b""
    apart = {PRIMARY: contents[PRIMARY]} if idat else contents
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    body = b"".join(apart.values())
    whole = outer(b"mdat", body, layout)
    length = len(described(layout, dict.fromkeys(contents, 0), contents, idat))
    start = len(head) + (0 if layout.meta_last else length) + len(whole) - len(body)
    starts = {}
    for item, content in apart.items():
        starts[item] = start
        start += len(content)
    if idat:
        starts |= {EXIF: 0, XMP: len(contents[EXIF])}
    meta = described(layout, starts, contents, idat)
    return head + (whole + meta if layout.meta_last else meta + whole)


LAYOUTS = {
    "plain": Layout(),
    "iloc 0": Layout(iloc=0),
    "iloc 2": Layout(iloc=2),
    "infe 3": Layout(infe=3),
    "long indexes": Layout(wide_index=True),
    "several extents": Layout(pieces=3),
    "base offsets": Layout(base=True),
    "in idat": Layout(method=1),
    "in idat, several extents": Layout(method=1, pieces=2),
    "64-bit sizes": Layout(long_sizes=True),
    "to the end": Layout(to_the_end=True),
    "meta last": Layout(meta_last=True),
    "all": Layout(iloc=2, infe=3, wide_index=True, pieces=2, method=1, to_the_end=True),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_metadata_are_found_however_they_are_laid(tmp_path, name):
    content = laid(LAYOUTS[name])
    picture = decoded(tmp_path, content, "AVIF")  # libavif reads it
    assert b"Ada" in picture.exif and picture.xmp == packet(Mark("1", 8))
    assert leaks(tmp_path / "in") == ["EXIF Artist", "EXIF GPS"]
    assert mark_in(tmp_path / "in") == Mark("1", 8)
    assert np.array_equal(np.asarray(picture.image), np.asarray(decoded(tmp_path, source()[0], "AVIF").image))


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_cut_or_changed_in_the_structure_is_never_clean(tmp_path, name):
    content = laid(LAYOUTS[name])
    body = len(items()[PRIMARY])
    for cut in range(20, len(content) - body, 7):
        (tmp_path / "x").write_bytes(content[:cut])
        assert leaks(tmp_path / "x"), cut


@pytest.mark.parametrize(
    "kind", [b"iloc", b"iinf", b"iprp", b"ipco", b"ipma", b"infe", b"meta", b"idat", b"iref"]
)
@pytest.mark.parametrize("size", [0, 3, 7, 2**31])
def test_a_box_of_a_wrong_size_is_never_clean(tmp_path, kind, size):
    content = bytearray(laid(Layout(method=1)))
    place = content.index(kind) - 4
    content[place : place + 4] = number(size, 4)
    (tmp_path / "x").write_bytes(content)
    found = leaks(tmp_path / "x")
    assert found and (size == 0 or any("can't be followed at byte" in leak for leak in found))


def test_an_extent_beyond_the_end_is_never_clean(tmp_path):
    content = laid(Layout(iloc=0))
    end = content.index(b"iinf") - 4
    beyond = content[: end - 4] + number(10**8, 4) + content[end:]
    (tmp_path / "x").write_bytes(beyond)
    assert "can't be followed" in leaks(tmp_path / "x")[-1]
    with pytest.raises(Unfollowable):
        meta = bmff.read_meta(beyond)
        bmff.content_of(beyond, meta, meta.items[XMP])


@pytest.mark.parametrize(
    ("more", "leak"),
    [
        (box(b"free", b"by Ada"), "box 'free'"),
        (box(b"free", bytes(9)), None),
        (box(b"uuid", bytes(16), b"by Ada"), "box 'uuid'"),
        (box(b"meta", bytes(4)), "box 'meta'"),
        (box(b"moov", bytes(4)), "further picture"),
        (box(b"mdat", b"x"), None),
        (box(b"mpvd", b"x"), "box 'mpvd'"),
    ],
)
def test_boxes_behind_the_picture(tmp_path, more, leak):
    (tmp_path / "x").write_bytes(stored("AVIF") + more)
    assert leaks(tmp_path / "x") == ([leak] if leak else [])


def test_boxes_and_items_that_nobody_knows_are_leaks(tmp_path):
    (tmp_path / "x").write_bytes(laid(Layout(extra=box(b"mine", b"by Ada"))))
    assert "box 'mine'" in leaks(tmp_path / "x")
    content = laid(Layout()).replace(b"Exif", b"mine", 1)
    (tmp_path / "x").write_bytes(content)
    assert leaks(tmp_path / "x") == ["item 'mine'"]


NAMES = (b"clap", b"colrnclx\0\x09\0\x10", b"av1C\x81\x7f", b"irot\1", b"imir\1", b"pixi")


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_property_elsewhere_means_nothing(tmp_path, name):
    """In EXIF, in free room, in a property that is not the picture's."""
    plain = decoded(tmp_path, laid(Layout()), "AVIF")
    content = laid(Layout())
    for changed in (
        content.replace(b"Ada\0", name[:4]),
        content + box(b"free", box(name[:4], name[4:] + bytes(40))),
        stored("AVIF", exif=b"Exif\0\0" + exif_block() + name + bytes(40)),
        stored("AVIF", xmp=packet(Mark("1", 8)) + b"<!--" + name.replace(b"\0", b" ") + b"-->"),
    ):
        picture = decoded(tmp_path, changed, "AVIF")
        assert picture.settings == plain.settings and picture.remarks == ()


def with_property(content: bytes, added: bytes, *, related: bool) -> bytes:
    """Return the plain layout's file with one more property, related to the picture or to nothing."""
    meta = bmff.read_meta(content)
    count = len(meta.items[PRIMARY].properties)
    ipco, ipma = content.index(b"ipco"), content.index(b"ipma")
    end = ipco - 4 + int.from_bytes(content[ipco - 4 : ipco], "big")
    relations = content[ipma - 4 : ipma + 4 + 4 + 4 + 2]
    indexes = bytes(0x80 | n + 1 for n in range(count + related))
    longer = (
        struct.pack(">L", len(relations) + 1 + len(indexes)) + relations[4:] + bytes([len(indexes)]) + indexes
    )
    old = content[ipma - 4 : ipma - 4 + int.from_bytes(content[ipma - 4 : ipma], "big")]
    properties = content[ipco - 4 : end] + added
    properties = struct.pack(">L", len(properties)) + properties[4:]
    changed = content[: ipco - 12] + box(b"iprp", properties, longer) + content[ipma - 4 + len(old) :]
    grown = len(changed) - len(content)
    place = changed.index(b"meta") - 4
    changed = (
        changed[:place]
        + struct.pack(">L", int.from_bytes(changed[place : place + 4], "big") + grown)
        + changed[place + 4 :]
    )
    return moved(changed, grown)


def moved(content: bytes, by: int) -> bytes:
    """Return a file whose items lie so many bytes further on."""
    place = content.index(b"iloc") + 4 + 4 + 2 + 2
    data = bytearray(content)
    for _ in range(3):
        at = place + 2 + 2 + 2 + 4 + 2
        data[at : at + 4] = struct.pack(">L", int.from_bytes(data[at : at + 4], "big") + by)
        place = at + 8
    return bytes(data)


CLAP = box(b"clap", struct.pack(">8l", 50, 1, 40, 1, 0, 1, 0, 1))


def test_only_the_pictures_own_crop_counts(tmp_path):
    content = laid(Layout())
    with pytest.raises(PhotoSkipped, match="clap"):
        decoded(tmp_path, with_property(content, CLAP, related=True), "AVIF")
    picture = decoded(tmp_path, with_property(content, CLAP, related=False), "AVIF")
    assert picture.image.size == (96, 64)


def test_only_the_pictures_own_colours_count(tmp_path):
    without = laid(Layout())
    bright = box(b"colr", b"nclx", struct.pack(">HHHB", 9, 16, 9, 128))
    assert decoded(tmp_path, with_property(without, bright, related=False), "AVIF").remarks == ()
    assert bmff.read_meta(without).code_points() is None
    with pytest.raises(PhotoSkipped, match="PQ"):
        decoded(tmp_path, with_property(without, bright, related=True), "AVIF")


def test_a_thumbnail_and_a_picture_in_the_picture_are_leaks(tmp_path):
    content = laid(Layout())
    place = content.index(b"Exif")
    (tmp_path / "x").write_bytes(content[:place] + b"av01" + content[place + 4 :])
    assert leaks(tmp_path / "x") == ["picture in the picture"]
    (tmp_path / "y").write_bytes(
        (content[:place] + b"av01" + content[place + 4 :]).replace(b"cdsc", b"thmb", 1)
    )
    assert leaks(tmp_path / "y") == ["thumbnail"]


def test_the_brands_of_the_first_box_decide():
    def head(*brands: bytes) -> bytes:
        return box(b"ftyp", brands[0], bytes(4), *brands[1:])

    assert bmff.brand_of(head(b"avif", b"mif1")) == "AVIF"
    assert bmff.brand_of(head(b"mif1", b"avif", b"heic")) == "AVIF"
    assert bmff.brand_of(head(b"mif1", b"heic")) == "HEIC"
    assert bmff.brand_of(head(b"mif1", b"miaf")) == "HEIC"
    assert bmff.brand_of(head(b"isom", b"avif")) == bmff.brand_of(head(b"qt  ")) == bmff.brand_of(b"") == ""


def test_relations_without_end_take_no_time():
    meta = bmff.Meta(primary=1)
    meta.references = [bmff.Reference(b"dimg", one, (one + 1,)) for one in range(1, 20_000)]
    meta.references += [bmff.Reference(b"thmb", one, (1,)) for one in range(1, 20_000)]
    assert len(meta.thumbnails()) == 20_000


def test_a_property_that_no_item_has_is_a_leak(tmp_path):
    content = with_property(laid(Layout()), box(b"name", b"Ada Example"), related=False)
    (tmp_path / "in").write_bytes(content)
    assert "property 'name'" in leaks(tmp_path / "in")
