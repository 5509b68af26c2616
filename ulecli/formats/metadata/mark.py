"""The mark of a protected picture: a few properties of XMP under a namespace of their own.

It says that the picture is protected, by which version, and within how many levels. Nothing in it differs
between two people who use one version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from ulecli.formats.metadata.rdf import ABOUT, DESCRIPTION, Document, nodes, properties

NAMESPACE = "urn:ulecli:1"

_NAME = f"{{{NAMESPACE}}}"
_PROTECTED, _VERSION, _EPSILON = (_NAME + name for name in ("protected", "version", "epsilon"))
_FORMS = {
    _PROTECTED: re.compile("true", re.IGNORECASE),
    _VERSION: re.compile(r"[0-9A-Za-z.+-]{1,40}"),
    _EPSILON: re.compile("[0-9]{1,3}"),
}
_TRACES = {
    "version": re.compile(rb"version\W{0,40}?[\"'>]([0-9][0-9A-Za-z.+-]{0,39})[\"'<]"),
    "epsilon": re.compile(rb"epsilon\W{0,40}?[\"'>]([0-9]{1,3})[\"'<]"),
}


@dataclass(frozen=True)
class Mark:
    """What a protected picture says of its protection.

    Attributes:
        version: Of ulecli; "" if the mark is too damaged to say.
        epsilon: L-infinity bound in levels; 0 if the mark is too damaged to say.
    """

    version: str
    epsilon: int


def find(document: Document) -> Mark | None:
    """Return the mark of the picture that a packet describes, however it is spread and written."""
    found: dict[str, str] = {}
    for node in nodes(document):
        for name, value in properties(node):
            if name.startswith(_NAME):
                found.setdefault(name, value)
    if not found or found.get(_PROTECTED, "true").lower() == "false":
        return None
    version, epsilon = found.get(_VERSION, ""), found.get(_EPSILON, "")
    return Mark(
        version if belongs(_VERSION, version) else "",
        int(epsilon) if belongs(_EPSILON, epsilon) else 0,
    )


def trace(packet: bytes) -> Mark | None:
    """Return the mark of a packet that is too damaged to be read, if it once bore one."""
    text = packet.replace(b"\0", b"")  # so that UTF-16 reads as ASCII
    if NAMESPACE.encode() not in text:
        return None
    found = {name: form.search(text) for name, form in _TRACES.items()}
    version, epsilon = found["version"], found["epsilon"]
    return Mark(version[1].decode("ascii") if version else "", int(epsilon[1]) if epsilon else 0)


def belongs(name: str, value: str | None) -> bool:
    """Return whether a property is one of a mark and has the form of it."""
    form = _FORMS.get(name)
    return form is not None and value is not None and form.fullmatch(value) is not None


def is_of_mark(name: str) -> bool:
    """Return whether a property is in the namespace of the mark, whatever it says."""
    return name.startswith(_NAME)


def description(mark: Mark) -> Element:
    """Return the description that states a mark."""
    stated = {_PROTECTED: "True", _VERSION: mark.version, _EPSILON: str(mark.epsilon)}
    return Element(DESCRIPTION, {ABOUT: "", **stated})
