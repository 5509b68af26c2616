"""XMP packets: what one says of the picture, the mark of a protected picture in it, and packets to write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from ulecli.formats.metadata import facts, mark, rdf
from ulecli.formats.metadata.embedded import holds_base64
from ulecli.formats.metadata.mark import Mark
from ulecli.formats.metadata.rdf import ABOUT, BLOCK, DESCRIPTION, META, RDF, XML, BadXmp
from ulecli.formats.metadata.statements import TEXT, said

__all__ = [
    "Mark",
    "harmless_facts",
    "holds_picture",
    "mark_of",
    "marked",
    "namespaces",
    "orientation",
    "packet",
]

_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_CAMERA = "{http://ns.google.com/photos/1.0/camera/}"
_ORIENTATION = _TIFF + "Orientation"

_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    _EXIF[1:-1]: "exif",
    _TIFF[1:-1]: "tiff",
    _CAMERA[1:-1]: "GCamera",
    mark.NAMESPACE: "ulecli",
    RDF[1:-1]: "rdf",
    XML[1:-1]: "xml",
    **facts.PREFIXES,
}
"""What well-known namespaces are called, since a tool may call them anything."""

_STALE = {
    *(_TIFF + name for name in ("ImageWidth", "ImageLength")),
    *(_EXIF + name for name in ("PixelXDimension", "PixelYDimension")),
    "{http://ns.adobe.com/xmp/note/}HasExtendedXMP",
    "{http://ns.adobe.com/xap/1.0/}Thumbnails",
    "{http://ns.google.com/photos/1.0/container/}Directory",
}
_STALE_STARTS = (
    _CAMERA + "MotionPhoto",
    _CAMERA + "MicroVideo",
    "{http://ns.google.com/photos/1.0/image/}",
    "{http://ns.google.com/photos/1.0/depthmap/}",
    "{http://ns.adobe.com/hdr-gain-map/1.0/}",
    "{http://ns.apple.com/HDRGainMap/1.0/}",
    "{http://ns.apple.com/pixeldatainfo/1.0/}",
)
"""The size before turning, pictures, and pointers to what does not go along: the rest of a packet that did
not fit into one segment, the video of a motion photo, a depth map, a gain map."""

_REGIONS = {
    "{http://www.metadataworkinggroup.com/schemas/regions/}Regions",
    "{http://ns.microsoft.com/photo/1.2/}RegionInfo",
}
"""Where faces are in the picture, which turning makes wrong."""

_PREFIX = re.compile(r"(?!ns\d+$)[A-Za-z_][\w.-]{0,40}", re.ASCII)


def packet(mark: Mark, extra: Mapping[str, str] | None = None) -> bytes:
    """Return an XMP packet that holds nothing but the mark.

    Args:
        mark: Of the picture.
        extra: Facts to state beside it, as `harmless_facts` returns them.
    """
    root = Element(META + "xmpmeta")
    block = Element(BLOCK)
    root.append(block)
    if extra:
        block.append(Element(DESCRIPTION, {ABOUT: "", **extra}))
    return _with_mark(rdf.Document(root, dict(_PREFIXES), []), block, mark)


def mark_of(packet: bytes) -> Mark | None:
    """Return the mark that a packet holds, if any.

    A packet that can't be read, and has the mark's namespace in it, counts as marked: its picture was
    protected once.
    """
    try:
        document = rdf.read(packet)
    except BadXmp:
        return mark.trace(packet)
    return mark.find(document) if rdf.blocks(document) else mark.trace(packet)


def orientation(packet: bytes) -> int:
    """Return how the stored picture lies as a packet says, 1 (upright) to 8; 0 if it does not say."""
    try:
        document = rdf.read(packet)
    except BadXmp:
        return 0
    for node in rdf.nodes(document):
        for name, value in rdf.properties(node):
            if name == _ORIENTATION and re.fullmatch("[1-8]", value):
                return int(value)
    return 0


def harmless_facts(packet: bytes) -> dict[str, str]:
    """Return the properties of a packet, by `{uri}name`, that say nothing about a person: see `facts`."""
    try:
        document = rdf.read(packet)
    except BadXmp:
        return {}
    found = {}
    for node in rdf.nodes(document):
        for name, value in [*node.items(), *((child.tag, rdf.simple_value(child)) for child in node)]:
            if value is not None and facts.is_fact(name, value):
                found[name] = value
    return found


def marked(packet: bytes, mark: Mark, *, turned: bool = False) -> bytes | None:
    """Return a packet with the mark in it, cleared of pictures in text form and of what turning made wrong.

    Args:
        packet: Of the source.
        mark: Takes the place of one that is there.
        turned: The pixels were turned: the geometry of a panorama and the places of faces are wrong, too.

    Returns:
        The packet, or None if it is none that the mark can be put into.
    """
    try:
        document = rdf.read(packet)
    except BadXmp:
        return None
    blocks = rdf.blocks(document)
    if not blocks:
        return None
    for element in list(document.root.iter()):
        for name in [name for name in element.attrib if _is_stale(name, turned)]:
            del element.attrib[name]
        for child in [child for child in element if _is_stale(child.tag, turned)]:
            element.remove(child)
    for parent, node in [(block, node) for block in blocks for node in block]:
        if _ORIENTATION in node.attrib:
            node.set(_ORIENTATION, "1")
        for child in node.findall(_ORIENTATION):
            child.clear()
            child.text = "1"
        if not len(node) and node.attrib.keys() <= {ABOUT}:
            parent.remove(node)
    return _with_mark(document, blocks[0], mark)


def holds_picture(text: bytes) -> bool:
    """Return whether a text may hold a picture in the form of text."""
    return holds_base64(text)


def namespaces(packet: bytes) -> list[str]:
    """Name the namespaces in which a packet says something beyond a mark and the facts that all modes keep.

    Returns:
        Prefixes, sorted; with "comment" or "text" if there are such between the statements; ["unreadable"] if
        it can't be read or is no RDF.
    """
    if not packet.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        return []
    try:
        document = rdf.read(packet)
    except BadXmp:
        return ["unreadable"]
    if not rdf.blocks(document):
        return ["unreadable"]
    quiet = {name[1:-1] for name in (RDF, META, XML)} | {mark.NAMESPACE, *facts.PREFIXES}
    uris = {*said(document.root), *(document.prefixes.keys() - quiet)}
    return sorted({_prefix(document, uri) for uri in uris} | ({"comment"} if document.asides else set()))


def _with_mark(document: rdf.Document, block: Element, stated: Mark) -> bytes:
    block.append(mark.description(stated))
    document.prefixes[mark.NAMESPACE] = _PREFIXES[mark.NAMESPACE]
    return rdf.write(document)


def _is_stale(name: str, turned: bool) -> bool:
    if name in _STALE or name.startswith(_STALE_STARTS) or mark.is_of_mark(name):
        return True
    return turned and (facts.is_geometry(name) or name in _REGIONS)


def _prefix(document: rdf.Document, uri: str) -> str:
    """Return what to call a namespace: its prefix, or its URI where the prefix says nothing."""
    if uri == TEXT:
        return uri
    prefix = _PREFIXES.get(uri) or document.prefixes.get(uri, "")
    return prefix if _PREFIX.fullmatch(prefix) else ascii(uri)[1:-1][:80]
