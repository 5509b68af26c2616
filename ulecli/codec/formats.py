"""Which picture format a file holds, told by its first bytes and never by its name."""

from __future__ import annotations

from ulecli.errors import install_extra

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif", ".hif"),
}
"""The formats that are protected, and the name endings that fit each; the first is the usual one."""

PICTURE_SUFFIXES = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {
    *(".gif", ".jp2", ".jxl", ".avifs", ".heics", ".cr2")
}
"""Name endings that promise a picture: a file that does not keep the promise is told about."""

SUPPORTED = "JPEG, PNG, WebP, TIFF, BMP, AVIF and HEIC are supported"

HEAD = 64
"""First bytes of a file that are enough to tell its format."""

_HEADS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop's format"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIRS", "camera raw (ORF)"),
    (b"MMOR", "camera raw (ORF)"),
    (b"IIU\0", "camera raw (RW2)"),
)
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
"""How long the second header can be; nothing else in the first bytes is always the same."""

_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_ANY_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf"}


def sniff(head: bytes) -> str:
    """Name the picture format that a file holds.

    Args:
        head: Its first bytes: 18 at least, `HEAD` to tell AVIF from HEIC where the first brand is of both.

    Returns:
        A key of `SUFFIXES`, the name of a format that is not supported, or "" if none is known.
    """
    for magic, name in _HEADS:
        if head.startswith(magic):
            return name
    if head.startswith(_TIFF_HEADS):
        return "camera raw (CR2)" if head[8:10] == b"CR" else "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return _brand(head) if head[4:8] == b"ftyp" else ""


def missing(format: str) -> str:
    """Say what has to be installed before a supported format can be read; empty if nothing."""
    if format != "HEIC":
        return ""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return f"HEIC needs one more package: {install_extra('heif')}"
    return ""


def _brand(head: bytes) -> str:
    """Tell the formats in one kind of box apart by the brands that its first entry lists."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    if head[8:12] == b"crx ":
        return "camera raw (CR3)"
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, end - 3, 4))]
    if brands[0] not in _HEIC_BRANDS | _AVIF_BRANDS | _ANY_BRANDS:
        return ""
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIC_BRANDS:
            return "HEIC"
    return "HEIC"
