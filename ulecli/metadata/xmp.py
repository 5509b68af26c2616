"""XMP: the mark of a protected picture, and what else a packet says.

The mark is a description of its own in the packet, under a namespace of its own: that it is protected, by
which version, and within how many levels. Nothing in it differs between two people who use one version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMESPACE = b"urn:ulecli:1"

_RDF = b"http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MARK = re.compile(
    rb'<rdf:Description rdf:about="" xmlns:rdf="[^"]*" xmlns:ulecli="urn:ulecli:1" '
    rb'ulecli:protected="True" ulecli:version="([0-9A-Za-z.+-]{1,40})" ulecli:epsilon="([0-9]{1,3})"/>'
)
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/=\s]|&#[xX]?[0-9A-Fa-f]+;){1024,}")
"""So long a run of these is a picture in the form of text, or padding; prose has commas."""

_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([0-9]+)")
_STALE = (
    rb"(?:tiff:ImageWidth|tiff:ImageLength|exif:Pixel[XY]Dimension|xmpNote:HasExtendedXMP"
    rb"|GCamera:(?:MotionPhoto|MicroVideo)\w*|hdrgm:\w+)"
)
"""The size before turning, and pointers to what does not go along: the rest of a packet that did not fit into
one segment, the video of a motion photo, a gain map."""

_OUTDATED = (
    re.compile(rb"\s" + _STALE + rb"\s*=\s*([\"'])[^\"'<]*\1"),
    re.compile(rb"<(" + _STALE + rb")>[^<]*</\1>"),
    re.compile(rb"<(G?Container:Directory)[\s>].*?</\1>", re.DOTALL),
)
_NAMES = re.compile(rb"\sxmlns:([A-Za-z_][\w.-]*)\s*=\s*[\"']([^\"']*)[\"']")
_FRAME = {b"adobe:ns:meta/", _RDF, NAMESPACE}


@dataclass(frozen=True)
class Mark:
    """What a protected picture tells of its protection.

    Attributes:
        version: Of ulecli.
        epsilon: L-infinity bound in levels.
    """

    version: str
    epsilon: int


def packet(mark: Mark) -> bytes:
    """Return an XMP packet that holds nothing but the mark."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF + b'"></rdf:RDF></x:xmpmeta>'
    ).replace(b"</rdf:RDF>", _description(mark) + b"</rdf:RDF>")


def mark_of(xmp: bytes) -> Mark | None:
    """Return the mark that a packet holds, if any."""
    found = _MARK.search(xmp)
    return Mark(found[1].decode("ascii"), int(found[2])) if found else None


def orientation(xmp: bytes) -> int:
    """Return how the stored picture lies by the word of a packet, 1 (upright) to 8; 0 if it does not say."""
    found = _ORIENTATION.search(xmp)
    return int(found[2]) if found and 1 <= int(found[2]) <= 8 else 0


def marked(xmp: bytes, mark: Mark) -> bytes | None:
    """Return a packet with the mark in it, cleared of pictures in text form and of what turning made wrong.

    Args:
        xmp: The packet of the source, UTF-8.
        mark: Takes the place of one that is there.

    Returns:
        The packet, or None if it is none that the mark can be put into.
    """
    try:
        xmp.decode("utf-8")
    except UnicodeDecodeError:
        return None
    cleared = _MARK.sub(b"", xmp.rstrip(b"\0"))
    for outdated in _OUTDATED:
        cleared = outdated.sub(b"", cleared)
    cleared = _BASE64.sub(b"", _ORIENTATION.sub(rb"\g<1>1", cleared))
    before, end, after = cleared.rpartition(b"</rdf:RDF>")
    return before + _description(mark) + end + after if end else None


def holds_picture(text: bytes) -> bool:
    """Tell whether a text may hold a picture in the form of text."""
    return bool(_BASE64.search(text))


def told(xmp: bytes) -> list[str]:
    """Name the namespaces in which a packet says something, the mark's own apart; ["unreadable"] if none."""
    rest = _MARK.sub(b"", xmp.rstrip(b"\0"))
    names = {name.decode("ascii", "replace") for name, uri in _NAMES.findall(rest) if uri not in _FRAME}
    empty = packet(Mark("0", 0)).replace(_description(Mark("0", 0)), b"")
    if names or rest == empty or not rest.strip():
        return sorted(names)
    return ["unreadable"]


def _description(mark: Mark) -> bytes:
    return (
        b'<rdf:Description rdf:about="" xmlns:rdf="%s" xmlns:ulecli="%s" ulecli:protected="True" '
        b'ulecli:version="%s" ulecli:epsilon="%d"/>'
        % (_RDF, NAMESPACE, mark.version.encode("ascii"), mark.epsilon)
    )
