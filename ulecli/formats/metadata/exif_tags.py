"""Which tags of EXIF are let through, which describe the layout of pixels, and which hold the size."""

from __future__ import annotations

ORIENTATION = 0x0112
XMP = 0x02BC
WIDTHS, HEIGHTS = frozenset({0x0100, 0xA002}), frozenset({0x0101, 0xA003})

PICTURES = ((0x0201, 0x0202), (0x0111, 0x0117), (0x0144, 0x0145))
"""Where the picture of a directory lies and how long it is: as a JPEG, in strips, in tiles."""

STRUCTURE = frozenset(
    {*range(0x00FE, 0x0104), 0x0106, 0x0107, 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C, 0x013D, 0x0140}
    | {0x0142, 0x0143, 0x0144, 0x0145, 0x014A, 0x0152, 0x0153, 0x015B, 0x0201, 0x0202}
    | {*range(0x0211, 0x0215), 0x8773}
)
"""Tags that say how the pixels of a TIFF are laid out, its profile among them: nothing about a person."""

PROFILE = 0x8773

_CAMERA = frozenset({0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x0213})
_EXPOSURE = frozenset(
    {0x829A, 0x829D, 0x8822, 0x8827, *range(0x8830, 0x8836), 0x9000, 0x9003, 0x9004, *range(0x9010, 0x9013)}
    | {0x9101, 0x9102, *range(0x9201, 0x920B), *range(0x9290, 0x9293), *range(0xA000, 0xA004)}
    | {0xA20B, 0xA20E, 0xA20F, 0xA210, 0xA215, 0xA217, 0xA300, 0xA301, 0xA302, *range(0xA401, 0xA40B), 0xA40C}
    | {*range(0xA432, 0xA435), 0xA460, 0xA500}
)
KEPT = {"0": _CAMERA, "Exif": _EXPOSURE, "Interop": frozenset({1, 2})}
"""What is let through by directory: camera and lens model, dates, exposure, colour space."""

NAMES = frozenset({0x010F, 0x0110, 0x0131, 0xA433, 0xA434})
"""Of those the tags with free text: makers and models of camera and lens, and the software."""

TEXTS = frozenset({0x0132, 0x9003, 0x9004, *range(0x9010, 0x9013), *range(0x9290, 0x9293)})
"""Of those the tags of date, time zone and parts of seconds, which hold digits and what sets them apart."""

MAX_KEPT = 1024
"""Bytes; no tag that is let through has a reason to hold more."""

MAX_PLAIN = 64
"""Bytes of a tag without text: eight rational numbers."""
