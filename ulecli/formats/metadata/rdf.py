"""The XML of an XMP packet (ISO 16684-1): read by namespace whatever tool wrote it, and written again.

A packet states properties of the picture in RDF. One statement has many spellings: any prefix for a
namespace, an attribute or an element, plain or in a structure, UTF-8, UTF-16 or UTF-32. Whoever wants to know
what a packet says asks for the properties here and never looks at its text.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from traceback import clear_frames
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, tostring

from ulecli.formats.metadata.embedded import without_base64
from ulecli.formats.metadata.packet_text import decoded

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
META = "{adobe:ns:meta/}"
XML = "{http://www.w3.org/XML/1998/namespace}"
BLOCK, DESCRIPTION, ABOUT = RDF + "RDF", RDF + "Description", RDF + "about"

_VALUES = (RDF + "value", RDF + "resource")
_SILENT = {(XML + "lang", "x-default"), (RDF + "parseType", "Resource")}
_PREFIXES = {RDF[1:-1]: "rdf", META[1:-1]: "x", XML[1:-1]: "xml"}
_WRAPPER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'
_WRAPPING = re.compile(r"xpacket (?:(?:begin|id|end|bytes|encoding)=(?:'[\w\ufeff-]*'|\"[\w\ufeff-]*\")\s*)*")
_DECLARATION = re.compile(r"<\?xml\s[^>]{0,200}\?>")

_MAX_BYTES = 16 << 20
_MAX_LENGTH = 2 << 20
"""Characters without pictures in the form of text; real packets stay far below."""

_MAX_NODES = 50_000
"""Elements, attributes and declared namespaces."""

_MAX_DEPTH = 64


class BadXmp(ValueError):
    """The packet is no XML, or too large or too deep to be one of a photo."""


@dataclass(frozen=True)
class Document:
    """A packet that was read.

    Attributes:
        root: Tags and attributes by namespace, `{uri}name`.
        prefixes: Of every namespace that is declared anywhere, by its URI.
        asides: Comments and instructions that are no part of the tree, but for the packet's wrapper.
    """

    root: Element
    prefixes: dict[str, str]
    asides: list[str]


def read(packet: bytes) -> Document:
    """Read a packet of any encoding; pictures in the form of text are left out.

    Raises:
        BadXmp: It can't be read, declares entities, or is too large or too deep.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    if len(packet) > _MAX_BYTES:
        raise BadXmp("the XMP is too long")
    try:
        text = without_base64(decoded(packet))
    except UnicodeDecodeError as error:
        raise BadXmp(f"the XMP can't be read: {error.reason}") from None
    if len(text) > _MAX_LENGTH or text.count("=") > _MAX_NODES or text.count("<") > 2 * _MAX_NODES:
        raise BadXmp("the XMP is too long")
    builder = _Builder()
    try:
        parser = DefusedXMLParser(target=builder, forbid_dtd=True)
        parser.feed(_DECLARATION.sub("", text, count=1))
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError) as error:
        _forget_frames(error)
        raise BadXmp(f"the XMP can't be read: {error}") from error
    for element in root.iter():  # those with line ends in the form of references, too
        element.text = without_base64(element.text or "")
        element.attrib.update({name: without_base64(value) for name, value in element.items()})
    return Document(root, builder.prefixes, builder.asides)


def write(document: Document) -> bytes:
    """Return a document as a packet: UTF-8, in its wrapper, the namespaces it uses declared at its root."""
    root = copy.deepcopy(document.root)
    prefixes = _unique_prefixes(root, document.prefixes)

    def short(name: str) -> str:
        uri, local = split(name)
        return f"{prefixes[uri]}:{local}" if uri else local

    for element in root.iter():
        element.tag = short(element.tag)
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            element.set(short(name), value)
    for uri, prefix in prefixes.items():
        if prefix != "xml":
            root.set(f"xmlns:{prefix}", uri)
    begin, end = _WRAPPER
    return (begin + tostring(root, encoding="unicode") + end).encode("utf-8")


def split(name: str) -> tuple[str, str]:
    """Return the namespace, "" for none, and the local part of `{uri}name`."""
    uri, found, local = name.removeprefix("{").rpartition("}")
    return (uri, local) if found else ("", name)


def blocks(document: Document) -> list[Element]:
    """Return the elements `rdf:RDF`, outside of which a packet says nothing; in real packets it is one."""
    if document.root.tag == BLOCK:
        return [document.root]
    return document.root.findall(BLOCK) or list(document.root.iter(BLOCK))[:1]


def nodes(document: Document) -> Iterator[Element]:
    """Yield the descriptions of the picture itself, without those of what it was made from."""
    for block in blocks(document):
        yield from block


def properties(node: Element) -> Iterator[tuple[str, str]]:
    """Yield what a description states, name and text: its attributes and its elements alike."""
    for name, value in node.attrib.items():
        if not name.startswith((RDF, XML)):
            yield name, value.strip()
    for child in node:
        yield child.tag, _text(child)


def simple_value(element: Element) -> str | None:
    """Return the only text of an element, plain or in RDF's lists and structures; None if it says more."""
    found = []
    for part in element.iter():
        if part is not element and not part.tag.startswith(RDF):
            return None
        for name, value in part.items():
            if name in _VALUES:
                found.append(value.strip())
            elif (name, value) not in _SILENT:
                return None
        found += [text for text in ((part.text or "").strip(), *_tails(part)) if text]
    return found[0] if len(found) == 1 else None


def _tails(element: Element) -> Iterator[str]:
    return ((child.tail or "").strip() for child in element)


def _text(element: Element) -> str:
    """Return the first text of an element, however deep: in a list, a structure, or a qualified value."""
    for part in element.iter():
        for name in _VALUES:
            if part.get(name):
                return part.attrib[name].strip()
        if part.text and part.text.strip():
            return part.text.strip()
    return ""


def _forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error came through.

    The parser's errors refer to themselves, and so would keep whatever the callers hold, photos among it,
    until the next collection of garbage.
    """
    while error:
        clear_frames(error.__traceback__)
        error.__traceback__, error = None, error.__context__


def _unique_prefixes(root: Element, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return a prefix of its own for each namespace that a tree uses: the one it had, where possible."""
    used = dict.fromkeys(
        uri for element in root.iter() for name in (element.tag, *element.attrib) if (uri := split(name)[0])
    )
    found = {uri: prefix for uri, prefix in _PREFIXES.items() if uri in used}
    taken = set(_PREFIXES.values())
    for uri in used:
        if uri in found:
            continue
        prefix, number = wanted.get(uri, ""), 0
        while not prefix or prefix in taken or prefix.lower().startswith("xml"):
            number += 1
            prefix = f"ns{number}"
        found[uri] = prefix
        taken.add(prefix)
    return found


class _Builder:
    """Builds a tree and counts, so that huge or deep XML is refused as soon as it shows."""

    def __init__(self) -> None:
        self.prefixes: dict[str, str] = {}
        self.asides: list[str] = []
        self._tree = TreeBuilder()
        self._depth = self._nodes = 0

    def start_ns(self, prefix: str, uri: str) -> None:
        self._count(1)
        if not self.prefixes.get(uri):
            self.prefixes[uri] = prefix

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count(1 + len(attributes))
        if self._depth > _MAX_DEPTH:
            raise BadXmp("the XMP is too deep")
        self._tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._tree.end(tag)

    def data(self, text: str) -> None:
        self._tree.data(text)

    def comment(self, text: str) -> None:
        self._count(1)
        self.asides.append(text)

    def pi(self, text: str, *more: str) -> None:
        self._count(1)
        if not _WRAPPING.fullmatch(" ".join((text, *more))):
            self.asides.append(text)

    def close(self) -> Element:
        return self._tree.close()

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            raise BadXmp("the XMP has too many parts")
