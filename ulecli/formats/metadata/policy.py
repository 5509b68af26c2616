"""What of a photo's metadata goes into its protected copy, as the encoder takes it.

- `private` writes a new EXIF block of date, camera and exposure (`exif_tags.KEPT`), a new XMP packet of the
  facts about no person that viewers and platforms need (`facts`: the geometry of a panorama, whether it was
  generated, whether it may be trained on), and the colour profile without the names in it (`icc`).
- `keep` keeps all but what shows the picture unprotected or is wrong once it is upright.
- `strip` keeps the colour profile without the names in it.

In every mode the file is marked as protected wherever its format has room. What turning the pixels makes
wrong is made right, as the orientation and size in EXIF, or left out, as the geometry of a panorama in XMP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL.PngImagePlugin import PngInfo

from ulecli import __version__
from ulecli.formats.metadata import exif, facts, icc
from ulecli.formats.metadata.embedded import streams
from ulecli.formats.metadata.xmp import (
    Mark,
    harmless_facts,
    holds_picture,
    marked,
    orientation,
    packet,
)
from ulecli.formats.options import MetadataMode

_MAX_SEGMENT = 65_533
"""Bytes that fit into a segment of a JPEG."""

_MAX_XMP = _MAX_SEGMENT - 29
_THUMBNAILS = (0x0409, 0x040C)
"""Among Photoshop's resources."""

_NOT_TEXT = {"XML:com.adobe.xmp", "xmp", "compression"}


@dataclass(frozen=True)
class Carried:
    """What the encoder writes beside the pixels.

    Attributes:
        settings: "exif", if there is any, and "xmp", which the codec puts where each format keeps them; with
            the mode `keep` also what only one format has, as Pillow's `Image.save` takes it: "comment" and
            "extra" of a JPEG, "pnginfo" of a PNG.
        remarks: What was left out though the mode would keep it, for the user.
        whole_profile: The colour profile goes along with all that it says.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    whole_profile: bool = False


def carried(
    info: Mapping[str, Any], mode: MetadataMode | str, *, format: str, size: tuple[int, int], epsilon: int
) -> Carried:
    """Choose what a protected picture carries on of its source's metadata, and mark it as protected.

    Args:
        info: What Pillow has in `info` of the source after its pixels have been read, since a PNG may hold
            metadata behind them; "exif" also of a TIFF.
        mode: How much.
        format: Pillow's name of the format that will be written; BMP has room for nothing.
        size: Width and height of the upright picture, in pixels.
        epsilon: The bound in levels, for the mark.
    """
    if format == "BMP":
        return Carried()
    mode, mark, remarks = MetadataMode(mode), Mark(__version__, epsilon), list[str]()
    keep, jpeg = mode is MetadataMode.KEEP, format == "JPEG"
    xmp = packet(mark)
    if mode is not MetadataMode.STRIP:
        xmp = _xmp(info, mark, size, remarks, keep=keep, limit=_MAX_XMP if jpeg else None)
    if keep and info.get("not_carried"):
        remarks.append(f"could not keep: {', '.join(info['not_carried'])}")
    block = b""
    if mode is not MetadataMode.STRIP and info.get("exif"):
        block = _exif(info["exif"], size, remarks, keep=keep, limit=_MAX_SEGMENT if jpeg else None)
    profile = _bytes(info.get("icc_profile"))
    if not keep and profile[16:20] == b"RGB " and not _profile(profile):
        remarks.append("its colour profile is damaged and was left out")
    settings: dict[str, Any] = {"exif": block, "xmp": xmp} if block else {"xmp": xmp}
    if jpeg and keep:
        settings |= {"comment": _comment(info), "extra": _resources(info)}
    elif format == "PNG" and keep:
        settings["pnginfo"] = _texts(info)
    return Carried(settings, tuple(remarks), whole_profile=keep)


def merged(settings: dict[str, Any], kept: Carried) -> dict[str, Any]:
    """Return the arguments of `Image.save` that store the pixels together with those that `carried` chose.

    Args:
        settings: Those that store the pixels, with the colour profile if one goes with them.
        kept: By `carried`.
    """
    both = {**settings, **kept.settings}
    if "pnginfo" in settings and "pnginfo" in kept.settings:
        both["pnginfo"] = PngInfo()
        both["pnginfo"].chunks = [*settings["pnginfo"].chunks, *kept.settings["pnginfo"].chunks]
    if both.get("icc_profile") and not kept.whole_profile:
        both["icc_profile"] = _profile(both["icc_profile"])
        if not both["icc_profile"]:
            del both["icc_profile"]
    return both


def _profile(profile: bytes) -> bytes:
    try:
        return icc.private(profile)
    except icc.BadProfile:
        return b""


def _exif(block: bytes, size: tuple[int, int], remarks: list[str], *, keep: bool, limit: int | None) -> bytes:
    if keep:
        try:
            kept = exif.upright(block, size)
            if limit is None or len(kept) <= limit:
                return kept
            remarks.append("its EXIF is too long for a JPEG; the date, camera and exposure were kept of it")
        except exif.BadExif:
            remarks.append(
                "its EXIF is damaged; the date, camera and exposure were kept if they could be read"
            )
    try:
        return exif.private(block, size)
    except exif.BadExif:
        if not keep:
            remarks.append("its EXIF is damaged and was left out")
        return b""


def _xmp(
    info: Mapping[str, Any],
    mark: Mark,
    size: tuple[int, int],
    remarks: list[str],
    *,
    keep: bool,
    limit: int | None,
) -> bytes:
    source = _bytes(info.get("xmp"))
    if not source:
        return packet(mark)
    found = harmless_facts(source)
    turn = exif.orientation(_bytes(info.get("exif")), unsaid=orientation(source))
    turned = turn > 1 or not facts.fits(found, size)
    if turned and any(map(facts.is_geometry, found)):
        remarks.append("where its panorama lies was left out, since that is wrong once it is turned")
    if keep:
        kept = marked(source, mark, turned=turned)
        if kept is not None and (limit is None or len(kept) <= limit):
            return kept
        remarks.append("its XMP is damaged or too long and was left out")
    return packet(
        mark, {name: value for name, value in found.items() if not (turned and facts.is_geometry(name))}
    )


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else bytes(value or b"")


def _texts(info: Mapping[str, Any]) -> PngInfo:
    """Return the texts of a PNG, but for EXIF and the like written as text, which brings all of it back."""
    chunks = PngInfo()
    for key, value in info.items():
        hidden = not isinstance(value, str) or key in _NOT_TEXT or key.startswith("Raw profile type")
        if not hidden and not holds_picture(value.encode("utf-8", "replace")):
            chunks.add_itxt(key, value)
    return chunks


def _comment(info: Mapping[str, Any]) -> bytes:
    comment = _bytes(info.get("comment"))
    return comment if len(comment) <= _MAX_SEGMENT and not any(streams(comment)) else b""


def _resources(info: Mapping[str, Any]) -> bytes:
    """Return a segment of Photoshop's resources, IPTC among them; what does not fit into one stays out."""
    found = info.get("photoshop")
    body = b"Photoshop 3.0\0"
    for number, content in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(content, bytes) or number in _THUMBNAILS or any(streams(content)):
            continue
        piece = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(content).to_bytes(4, "big") + content
        piece += bytes(len(content) % 2)
        if len(body) + len(piece) <= _MAX_SEGMENT:
            body += piece
    if len(body) == len(b"Photoshop 3.0\0"):
        return b""
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
