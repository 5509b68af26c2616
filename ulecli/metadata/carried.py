"""What a protected picture carries on of what its source told, as the encoder takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from PIL.PngImagePlugin import PngInfo

from ulecli import __version__, exif
from ulecli.metadata.xmp import Mark, holds_picture, marked, packet

_MAX_SEGMENT = 65_533
"""Bytes that fit into a segment of a JPEG."""

_MAX_XMP = _MAX_SEGMENT - 29
_THUMBNAILS = (0x0409, 0x040C)
"""Among Photoshop's resources."""

_NOT_TEXT = {"XML:com.adobe.xmp", "xmp", "compression"}


class Mode(StrEnum):
    """How much of the metadata a protected file carries on."""

    PRIVATE = "private"
    KEEP = "keep"
    STRIP = "strip"


@dataclass(frozen=True)
class Carried:
    """What the encoder writes beside the pixels.

    Attributes:
        settings: "exif", if there is any, and "xmp", which the codec puts where each format keeps them; with
            the mode `keep` also what only one format has, as Pillow's `Image.save` takes it: "comment" and
            "extra" of a JPEG, "pnginfo" of a PNG.
        remarks: What was left out though the mode would keep it, for the user.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def carried(
    info: Mapping[str, Any], mode: Mode | str, *, format: str, size: tuple[int, int], epsilon: int
) -> Carried:
    """Choose what a protected picture carries on of what its source told, and mark it as protected.

    The colour profile is not touched: whether it goes with the pixels is for the codec to know.

    Args:
        info: What Pillow tells in `info` of the source after its pixels have been read, since a PNG may tell
            things behind them; "exif" also of a TIFF.
        mode: How much.
        format: Pillow's name of the format that will be written; BMP has room for nothing.
        size: Width and height of the upright picture, in pixels.
        epsilon: The bound in levels, for the mark.
    """
    if format == "BMP":
        return Carried()
    mode, mark, remarks = Mode(mode), Mark(__version__, epsilon), list[str]()
    keep, jpeg = mode is Mode.KEEP, format == "JPEG"
    xmp = _xmp(_bytes(info.get("xmp")), mark, remarks) if keep else packet(mark)
    if keep and info.get("not_carried"):
        remarks.append(f"could not keep: {', '.join(info['not_carried'])}")
    block = b""
    if mode is not Mode.STRIP and info.get("exif"):
        block = _exif(info["exif"], size, remarks, keep=keep, limit=_MAX_SEGMENT if jpeg else None)
    settings: dict[str, Any] = {"exif": block, "xmp": xmp} if block else {"xmp": xmp}
    if jpeg and keep:
        settings |= {"comment": _comment(info), "extra": _resources(info)}
    elif format == "PNG" and keep:
        settings["pnginfo"] = _texts(info)
    return Carried(settings, tuple(remarks))


def merged(settings: dict[str, Any], kept: Carried) -> dict[str, Any]:
    """Return the arguments of `Image.save` that store the pixels together with those that `carried` chose."""
    both = {**settings, **kept.settings}
    if "pnginfo" in settings and "pnginfo" in kept.settings:
        both["pnginfo"] = PngInfo()
        both["pnginfo"].chunks = [*settings["pnginfo"].chunks, *kept.settings["pnginfo"].chunks]
    return both


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


def _xmp(source: bytes, mark: Mark, remarks: list[str]) -> bytes:
    kept = marked(source, mark) if source else packet(mark)
    if kept is None or len(kept) > _MAX_XMP:
        remarks.append("its XMP is damaged or too long and was left out")
        return packet(mark)
    return kept


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
    return comment if len(comment) <= _MAX_SEGMENT and not any(exif.streams(comment)) else b""


def _resources(info: Mapping[str, Any]) -> bytes:
    """Return a segment of Photoshop's resources, IPTC among them; what does not fit into one stays out."""
    found = info.get("photoshop")
    body = b"Photoshop 3.0\0"
    for number, content in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(content, bytes) or number in _THUMBNAILS or any(exif.streams(content)):
            continue
        piece = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(content).to_bytes(4, "big") + content
        piece += bytes(len(content) % 2)
        if len(body) + len(piece) <= _MAX_SEGMENT:
            body += piece
    if len(body) == len(b"Photoshop 3.0\0"):
        return b""
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
