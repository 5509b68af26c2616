"""XMP packets for the tests of metadata: one mark in every spelling, and packets that are attacks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
OURS = 'xmlns:ulecli="urn:ulecli:1"'
META = '<x:xmpmeta xmlns:x="adobe:ns:meta/">%s</x:xmpmeta>'
WRAPPER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>%s' + " " * 2000 + '<?xpacket end="w"?>'


def rdf(body: str) -> str:
    """A packet's text around descriptions."""
    return META % f"<rdf:RDF {RDF}>{body}</rdf:RDF>"


def about(body: str, names: str = OURS) -> str:
    """A packet's text around the elements of one description."""
    return rdf(f'<rdf:Description rdf:about="" {names}>{body}</rdf:Description>')


ELEMENTS = (
    "<ulecli:epsilon>8</ulecli:epsilon><ulecli:protected>True</ulecli:protected>"
    "<ulecli:version>0.3.1</ulecli:version>"
)
ATTRIBUTES = 'ulecli:protected="True" ulecli:version="0.3.1" ulecli:epsilon="8"'
SPELLINGS = {
    "attributes": rdf(f'<rdf:Description rdf:about="" {OURS} {ATTRIBUTES}/>'),
    "other order and quotes": rdf(
        f"<rdf:Description {OURS} ulecli:epsilon='8' ulecli:version='0.3.1' "
        "ulecli:protected='True' rdf:about=''/>"
    ),
    "elements": about(ELEMENTS),
    "other prefix": about(ELEMENTS.replace("ulecli:", "ns0:"), 'xmlns:ns0="urn:ulecli:1"'),
    "other prefix of RDF": about(ELEMENTS).replace("rdf:", "r:").replace("xmlns:rdf", "xmlns:r"),
    "default namespace": about(ELEMENTS.replace("ulecli:", ""), 'xmlns="urn:ulecli:1"'),
    "declared at the root": META.replace("<x:xmpmeta", f"<x:xmpmeta {OURS} {RDF}")
    % f'<rdf:RDF><rdf:Description rdf:about="">{ELEMENTS}</rdf:Description></rdf:RDF>',
    "merged with others": rdf(
        f'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" {OURS} xmp:Rating="5" '
        f"{ATTRIBUTES}>"
        "<xmp:Label>Blue</xmp:Label></rdf:Description>"
    ),
    "spread": rdf(
        f'<rdf:Description rdf:about="" {OURS} ulecli:protected="True"/>'
        f'<rdf:Description rdf:about="" {OURS} ulecli:version="0.3.1"/>'
        f'<rdf:Description rdf:about="" {OURS}><ulecli:epsilon>8</ulecli:epsilon></rdf:Description>'
    ),
    "pretty": about(ELEMENTS.replace(">8<", ">\n   8\n  <").replace("><ulecli", ">\n  <ulecli")),
    "lists": about(
        ELEMENTS.replace(">0.3.1<", "><rdf:Seq><rdf:li>0.3.1</rdf:li></rdf:Seq><").replace(
            ">8<", "><rdf:Alt><rdf:li xml:lang='x-default'>8</rdf:li></rdf:Alt><"
        )
    ),
    "qualified values": about(
        ELEMENTS.replace(">8<", "><rdf:Description><rdf:value>8</rdf:value></rdf:Description><").replace(
            "<ulecli:version>0.3.1<", "<ulecli:version rdf:parseType='Resource'><rdf:value>0.3.1</rdf:value><"
        )
    ),
    "typed node": rdf(f'<ulecli:Photo rdf:about="" {OURS} {ATTRIBUTES}/>'),
    "bare RDF": f"<rdf:RDF {RDF}><rdf:Description {OURS} {ATTRIBUTES}/></rdf:RDF>",
    "references": about(ELEMENTS).replace("urn:ulecli:1", "urn&#58;ulecli&#x3A;1").replace(">8<", ">&#56;<"),
    "wrapper": WRAPPER % about(ELEMENTS),
    "declaration": '<?xml version="1.0" encoding="UTF-8"?>' + about(ELEMENTS),
}
ENCODINGS = {
    "UTF-8 with BOM": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 LE without BOM": lambda text: text.encode("utf-16-le"),
    "UTF-16 BE without BOM": lambda text: text.encode("utf-16-be"),
    "UTF-16 BE": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "UTF-32 BE without BOM": lambda text: text.encode("utf-32-be"),
    "zeros behind": lambda text: text.encode() + bytes(301),
}

_ENTITIES = "".join(
    f'<!ENTITY {name} "{("&" + below + ";") * 10}">'
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_LAUGHS = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{_ENTITIES}]>'
_ATTRIBUTES = " ".join(f"a{number}=''" for number in range(200_000))
ATTACKS = {
    "billion laughs": (_LAUGHS + about("<ulecli:version>&i;</ulecli:version>")).encode(),
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + about("&e;").encode(),
    "deep": about("<rdf:li>" * 100_000 + "</rdf:li>" * 100_000).encode(),
    "many elements": about("<rdf:li/>" * 200_000).encode(),
    "many attributes": rdf(f"<rdf:Description {_ATTRIBUTES}/>").encode(),
    "many namespaces": rdf("".join(f"<a xmlns:a{number}='u'/>" for number in range(90_000))).encode(),
    "long": about("<rdf:li>a, b, c</rdf:li>" * 1_000_000).encode(),
}


def exiftool(*arguments: str | Path) -> bytes:
    """Return what exiftool prints; the test is skipped where it is not installed."""
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    return subprocess.run(["exiftool", *arguments], capture_output=True, check=True).stdout
