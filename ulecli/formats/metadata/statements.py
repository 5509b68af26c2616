"""What a packet of XMP says beyond a mark and harmless facts, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from ulecli.formats.metadata import facts, mark, rdf
from ulecli.formats.metadata.rdf import ABOUT, BLOCK, DESCRIPTION, META, RDF, XML

TEXT = "text"

_TOOLKIT = re.compile(
    r"(?:Image::ExifTool|Adobe XMP Core|XMP Core)(?: [0-9][\w.-]{0,24}){0,2}(?:, [0-9/: -]{0,40})?\s*"
)
"""The library that wrote the packet, which is nothing about a person."""


def said(element: Element) -> Iterator[str]:
    """Yield the namespace of whatever a packet says that is neither of the mark nor a harmless fact.

    Args:
        element: The root of the packet.

    Yields:
        URIs, and `TEXT` for loose text and for names without a namespace.
    """
    if element.tag == BLOCK:
        yield from (_namespace(name) for name in element.attrib)
        for node in element:
            yield from _said_by(node)
    elif element.tag.startswith(META):
        for name, value in element.items():
            if name != META + "xmptk" or not _TOOLKIT.fullmatch(value):
                yield _namespace(name)
        for child in element:
            yield from said(child)
    else:
        yield from _whole(element)
        return
    yield from _loose_text(element)


def _said_by(node: Element) -> Iterator[str]:
    """The same of one description; its name, which many tools leave empty, may identify the file."""
    if node.tag != DESCRIPTION and not mark.is_of_mark(node.tag):
        yield _namespace(node.tag)
    for name, value in node.items():
        if not _is_harmless(name, value) and (name, value) != (ABOUT, ""):
            yield _namespace(name)
    for child in node:
        if not _is_harmless(child.tag, rdf.simple_value(child)):
            yield from _whole(child)
    yield from _loose_text(node)


def _whole(element: Element) -> Iterator[str]:
    yield _namespace(element.tag)
    names = (name for part in element.iter() for name in (part.tag, *part.attrib))
    yield from (_namespace(name) for name in names if not name.startswith((RDF, XML)))


def _loose_text(element: Element) -> Iterator[str]:
    if any((text or "").strip() for text in (element.text, *(child.tail for child in element))):
        yield TEXT


def _is_harmless(name: str, value: str | None) -> bool:
    return mark.belongs(name, value) or facts.is_fact(name, value)


def _namespace(name: str) -> str:
    return rdf.split(name)[0] or TEXT
