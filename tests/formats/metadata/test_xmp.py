from __future__ import annotations

import base64
import gc
import io
import json
import tracemalloc
import weakref
from xml.etree import ElementTree

import pytest
from conftest import scene
from helpers.xmp_packets import ATTACKS, ELEMENTS, ENCODINGS, OURS, SPELLINGS, about, exiftool, rdf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ulecli.formats.metadata import xmp
from ulecli.formats.metadata.xmp import Mark

MARK = Mark("0.3.1", 8)
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
GPANO = "{http://ns.google.com/photos/1.0/panorama/}"
PANORAMA = (
    'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular" '
    'GPano:FullPanoWidthPixels="96" GPano:StitchingSoftware="by Ada"'
)
WRITTEN = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "AVIF": "avif"}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_mark_is_read_in_every_spelling(spelling):
    packet = SPELLINGS[spelling].encode()
    assert xmp.mark_of(packet) == MARK
    assert xmp.namespaces(packet) == (["xmp"] if spelling == "merged with others" else [])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("spelling", ["attributes", "wrapper"])
def test_the_mark_is_read_in_every_encoding(spelling, encoding):
    packet = ENCODINGS[encoding](SPELLINGS[spelling])
    assert xmp.mark_of(packet) == MARK and xmp.namespaces(packet) == []
    assert xmp.mark_of(xmp.marked(packet, Mark("9", 2)) or b"") == Mark("9", 2)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_mark_takes_the_place_of_one_that_is_there(spelling):
    packet = xmp.marked(SPELLINGS[spelling].encode(), Mark("2.0", 4)) or b""
    assert xmp.mark_of(packet) == Mark("2.0", 4)
    assert packet.count(b"urn:ulecli:1") == 1 and b"0.3.1" not in packet


@pytest.mark.parametrize(
    "damage",
    [
        lambda packet: packet[:-15],
        lambda packet: packet[:-15].decode().encode("utf-16"),
        lambda packet: packet.replace(b"<x:xmpmeta", b"<broken>&undeclared;<x:xmpmeta"),
        lambda packet: packet.replace(b"<x:xmpmeta", b"\xff\xfe\xfd<x:xmpmeta"),
        lambda packet: packet + packet,
        lambda packet: packet.replace(b"rdf:RDF", b"rdf:Other"),
    ],
)
def test_a_damaged_packet_that_bore_the_mark_counts_as_marked(damage):
    for spelling in ("attributes", "elements"):
        packet = damage(SPELLINGS[spelling].encode())
        assert xmp.mark_of(packet) == MARK
        assert xmp.namespaces(packet) == ["unreadable"]
    beyond = b"<" + OURS.encode() + b" \xff"
    assert xmp.mark_of(beyond) == Mark("", 0)


@pytest.mark.parametrize(
    "text",
    [
        about("<dc:title>urn:ulecli:1</dc:title>", 'xmlns:dc="http://purl.org/dc/elements/1.1/"'),
        about("", OURS),
        about(ELEMENTS.replace("True", "False")),
        about(  # what Photoshop keeps of the files that a picture was made from
            f'<p:Pantry><rdf:Bag><rdf:li rdf:parseType="Resource">{ELEMENTS}</rdf:li></rdf:Bag></p:Pantry>',
            OURS + ' xmlns:p="http://ns.adobe.com/xap/1.0/mm/"',
        ),
    ],
    ids=["named in a text", "declared only", "denied", "of an ingredient"],
)
def test_what_is_no_mark_of_the_picture(text):
    assert xmp.mark_of(text.encode()) is None


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize(
    "change",
    [
        ["-XMP:Rating=5"],
        ["-XMP-dc:Title=a title", "-XMP-dc:Creator=Ada", "-XMP-xmpMM:DocumentID=1"],
        ["-tagsfromfile", "other.jpg", "-all:all"],
        ["-tagsfromfile", "@", "-all:all", "-XMP:Rating=3"],
        ["-api", "compact=NoPadding,Shorthand,OneDesc", "-XMP:Rating=5"],
    ],
    ids=["rating", "several", "from a file", "all anew", "shorthand"],
)
def test_the_mark_outlives_exiftool(tmp_path, format, change):
    stored, path, packet = io.BytesIO(), tmp_path / f"x.{WRITTEN[format]}", xmp.packet(MARK)
    scene().save(tmp_path / "other.jpg", xmp=about("<dc:source>t</dc:source>", DC).encode())
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet.decode())
    settings = {"PNG": {"pnginfo": chunks}, "TIFF": {"tiffinfo": {700: packet}}}
    scene().save(stored, format, **settings.get(format, {"xmp": packet}))
    path.write_bytes(stored.getvalue())
    change = [str(tmp_path / part) if part == "other.jpg" else part for part in change]
    exiftool("-q", "-m", "-overwrite_original", *change, path)
    after = exiftool("-b", "-XMP", path)
    assert after != packet and xmp.mark_of(after) == MARK
    with Image.open(path) as opened:
        opened.load()
        read = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp")
    assert xmp.mark_of(read.encode() if isinstance(read, str) else read) == MARK


def said(packet: bytes, tmp_path) -> dict:
    """Return what exiftool reads in a packet, but for names of the groups that only tell the nesting."""
    (tmp_path / "x.xmp").write_bytes(packet)
    found = json.loads(exiftool("-j", "-G1", "-struct", tmp_path / "x.xmp"))[0]
    return {
        name: value for name, value in found.items() if name.startswith("XMP") and "XMPToolkit" not in name
    }


def real_packets(shared) -> list[bytes]:
    packets = []
    for name in ("jpeg/adobe_rgb.jpg", "jpeg/gray_icc.jpg", "names/IMG_1.jpg", "exif/bad_exif_type.jpg"):
        with Image.open(shared / "nasty" / name) as photo:
            packets.append(photo.info["xmp"])
    return packets


def test_nothing_else_is_lost_by_the_word_of_exiftool(tmp_path, shared):
    outdated = {
        *(
            "XMP-tiff:ImageWidth",
            "XMP-tiff:ImageHeight",
            "XMP-exif:ExifImageWidth",
            "XMP-exif:ExifImageHeight",
        ),
        *("XMP-tiff:Orientation", "XMP-xmp:Thumbnails"),
    }
    for packet in real_packets(shared):
        before, after = said(packet, tmp_path), said(xmp.marked(packet, MARK) or b"", tmp_path)
        mark = {name: after.pop(name) for name in list(after) if name.startswith("XMP-ulecli")}
        assert mark == {
            "XMP-ulecli:Protected": True,
            "XMP-ulecli:Version": "0.3.1",
            "XMP-ulecli:Epsilon": 8,
        }
        assert before and after.keys() - outdated == before.keys() - outdated
        assert {name: after[name] for name in after.keys() - outdated} == {
            name: before[name] for name in before.keys() - outdated
        }


def test_texts_of_any_language_and_their_lines_are_kept(tmp_path):
    names = DC + ' dc:source="a&#10;b &lt;&quot;&amp;" dc:format="zwölf 十二"'
    packet = about(
        "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Ä\n𝄞 &lt;</rdf:li></rdf:Alt></dc:title>", names
    )
    after = xmp.marked(packet.encode("utf-16"), MARK) or b""
    description = ElementTree.fromstring(after)[0][0]
    dc = "{http://purl.org/dc/elements/1.1/}"
    assert description.get(dc + "source") == 'a\nb <"&' and description.get(dc + "format") == "zwölf 十二"
    assert "".join(description.itertext()) == "Ä\n𝄞 <"
    reported = said(after, tmp_path)
    assert reported["XMP-dc:Format"] == "zwölf 十二" and reported["XMP-dc:Title"] == "Ä\n𝄞 <"


def test_namespaces_that_share_a_prefix_stay_apart():
    packet = rdf(
        '<rdf:Description xmlns:a="urn:1" a:one="1"/><rdf:Description xmlns:a="urn:2" a:two="2"/>'
        '<rdf:Description xmlns="urn:3"><three>3</three></rdf:Description>'
    )
    block = ElementTree.fromstring(xmp.marked(packet.encode(), MARK) or b"")[0]
    assert block[0].get("{urn:1}one") == "1" and block[1].get("{urn:2}two") == "2"
    assert block[2][0].tag == "{urn:3}three" and block[2][0].text == "3"


@pytest.mark.parametrize("number", range(10))
def test_orientation_in_every_spelling(number):
    tiff = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    other = tiff.replace("tiff=", "t=")
    for text in (
        about("", f'{tiff} tiff:Orientation="{number}"'),
        about(f"<tiff:Orientation> {number} </tiff:Orientation>", tiff),
        about(f"<t:Orientation>{number}</t:Orientation>", other),
    ):
        assert xmp.orientation(text.encode()) == (number if 1 <= number <= 8 else 0)
        after = xmp.marked(text.encode("utf-16"), MARK) or b""
        assert xmp.orientation(after) == 1
    assert xmp.orientation(about("").encode()) == xmp.orientation(b"<") == 0


def test_a_kept_packet_does_not_point_to_what_stayed_behind():
    uris = {
        "GCamera": "http://ns.google.com/photos/1.0/camera/",
        "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
        "dc": "urn:dc",
        "C": "http://ns.google.com/photos/1.0/container/",
        "Item": "http://ns.google.com/photos/1.0/container/item/",
        "note": "http://ns.adobe.com/xmp/note/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
    }
    motion = rdf(
        '<rdf:Description GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="50042" hdrgm:Version="1.0" '
        'dc:title="a scene" note:HasExtendedXMP="A" tiff:ImageWidth="4" '
        + " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in uris.items())
        + "><hdrgm:GainMapMax>2</hdrgm:GainMapMax><exif:PixelXDimension>4</exif:PixelXDimension>"
        '<C:Directory>\n<rdf:Seq><rdf:li Item:Semantic="MotionPhoto"/></rdf:Seq></C:Directory>'
        "</rdf:Description>"
    )
    description = ElementTree.fromstring(xmp.marked(motion.encode(), MARK) or b"")[0][0]
    assert description.attrib == {"{urn:dc}title": "a scene"} and len(description) == 0


def test_what_turning_makes_wrong_goes_when_it_is_turned():
    regions = '<mwg-rs:Regions rdf:parseType="Resource"/>'
    names = (
        PANORAMA
        + ' xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:d="urn:d" d:a="1"'
    )
    packet = about(regions, names).encode()
    turned, upright = xmp.marked(packet, MARK, turned=True) or b"", xmp.marked(packet, MARK) or b""
    assert xmp.namespaces(turned) == ["d"] and xmp.namespaces(upright) == ["GPano", "d", "mwg-rs"]


@pytest.mark.parametrize("line_end", ["", "\n", "&#xA;"])
def test_pictures_in_the_form_of_text_go(line_end):
    stored = io.BytesIO()
    scene().save(stored, "JPEG")
    lines = base64.encodebytes(stored.getvalue()).decode().split()
    packet = about(
        f"<t:image>{line_end.join(lines)}</t:image><t:name>Ada</t:name>", 'xmlns:t="urn:t"'
    ).encode()
    after = xmp.marked(packet, MARK) or b""
    assert xmp.holds_picture(packet) and not xmp.holds_picture(after)
    assert b"/9j/" not in after and b"Ada" in after


def test_prose_and_filling_are_no_pictures():
    assert not xmp.holds_picture(b" " * 5000) and not xmp.holds_picture(b"I came, I saw, " * 500)
    assert xmp.holds_picture(b"A" * 1024) and not xmp.holds_picture(b"A" * 1023)


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_before_they_cost_memory(attack):
    packet = ATTACKS[attack]
    xmp.mark_of(b"<a/>")  # what is imported only once does not count
    for read in (xmp.mark_of, xmp.namespaces, xmp.orientation, lambda it: xmp.marked(it, MARK)):
        tracemalloc.start()
        found = read(packet)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found in (None, ["unreadable"], 0, Mark("", 0))
        assert peak < 40 * 2**20 + 3 * len(packet)


@pytest.mark.parametrize("packet", [b"", b"<a>", b"<a/><b/>", b"\xff", *list(ATTACKS.values())[:4]])
def test_a_packet_that_is_refused_keeps_nothing_of_its_reader_alive(packet):
    class Photo:
        pass

    def read() -> weakref.ref[Photo]:
        photo = Photo()
        for reader in (xmp.mark_of, xmp.namespaces, xmp.orientation, xmp.harmless_facts):
            reader(packet)
        assert xmp.marked(packet, MARK) is None
        return weakref.ref(photo)

    gc.disable()
    try:
        assert read()() is None
    finally:
        gc.enable()


def test_what_a_packet_says():
    assert xmp.namespaces(b"") == xmp.namespaces(b" \0\n") == []
    assert xmp.namespaces(b"Ada") == xmp.namespaces(b"<a>Ada</a>") == ["unreadable"]
    assert xmp.namespaces(about("<dc:title>t</dc:title>", DC).encode()) == ["dc"]
    assert xmp.namespaces(about("<q:title>t</q:title>", DC.replace(":dc", ":q")).encode()) == ["dc"]
    assert xmp.namespaces(about("<ns1:a>t</ns1:a>", 'xmlns:ns1="urn:me"').encode()) == ["urn:me"]
    assert xmp.namespaces(about("", 'xmlns:own="urn:of-ada"').encode()) == ["own"]
    assert xmp.namespaces(about("<!-- Ada -->").encode()) == ["comment"]
    assert xmp.namespaces(about("<?php Ada ?>").encode()) == ["comment"]
    assert xmp.namespaces(about("by Ada").encode()) == ["text"]
    assert xmp.namespaces(about("").replace('rdf:about=""', 'rdf:about="uuid:1"').encode()) == ["rdf"]
    assert xmp.namespaces(about("<ulecli:note>Ada</ulecli:note>").encode()) == ["ulecli"]
    assert xmp.namespaces(about(ELEMENTS.replace("0.3.1", "by Ada")).encode()) == ["ulecli"]
    assert xmp.namespaces(about("").replace("<x:xmpmeta", '<x:xmpmeta x:xmptk="Adas tool"').encode()) == ["x"]
    toolkit = '<x:xmpmeta x:xmptk="Adobe XMP Core 5.6-c140 79.160451, 2017/05/06-01:08:21        "'
    assert xmp.namespaces(about("").replace("<x:xmpmeta", toolkit).encode()) == []


def test_facts_about_no_person_are_let_through_and_nothing_beside_them():
    packet = about("<GPano:FullPanoHeightPixels>48</GPano:FullPanoHeightPixels>", PANORAMA).encode()
    facts = {
        GPANO + "ProjectionType": "equirectangular",
        GPANO + "FullPanoWidthPixels": "96",
        GPANO + "FullPanoHeightPixels": "48",
    }
    assert xmp.harmless_facts(packet) == facts and xmp.namespaces(packet) == ["GPano"]
    written = xmp.packet(MARK, extra=facts)
    assert xmp.namespaces(written) == [] and xmp.mark_of(written) == MARK
    assert xmp.harmless_facts(written) == facts


def test_a_packet_of_facts_by_the_word_of_exiftool(tmp_path):
    facts = {GPANO + "ProjectionType": "equirectangular", GPANO + "FullPanoWidthPixels": "96"}
    reported = said(xmp.packet(MARK, extra=facts), tmp_path)
    assert (
        reported["XMP-GPano:ProjectionType"] == "equirectangular"
        and reported["XMP-GPano:FullPanoWidthPixels"] == 96
    )
    assert reported["XMP-ulecli:Protected"] is True


def test_the_mark_says_nothing_of_the_person():
    assert xmp.packet(Mark("1", 8)) == xmp.packet(Mark("1", 8))
    assert xmp.namespaces(xmp.packet(Mark("1", 8))) == []


@given(st.binary(max_size=300))
def test_noise_is_refused_or_read(noise):
    whole = SPELLINGS["elements"].encode()
    for packet in (noise, whole[:150] + noise + whole[150:], whole + noise):
        mark = xmp.mark_of(packet)
        assert mark is None or isinstance(mark, Mark)
        assert all(name.isprintable() and name.isascii() for name in xmp.namespaces(packet))
        assert 0 <= xmp.orientation(packet) <= 8
        after = xmp.marked(packet, MARK)
        assert after is None or xmp.mark_of(after) == MARK
