"""A large library of photos, every file different, made from the few thousand that are at hand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

EVERY_BIG = 50
"""One photo in so many is a whole camera photo."""

_KINDS = (("JPEG", ".jpg"),) * 16 + (("PNG", ".png"),) * 2 + (("WEBP", ".webp"), ("TIFF", ".tif"))
_DESCRIPTION = 0x010E  # EXIF's ImageDescription


def make_library(root: Path, count: int, shared: Path, seed: int = 0) -> list[Path]:
    """Fill a new folder with photos in folders of years and months, no two of the same bytes.

    One in 50 is a camera photo from `photos` with a comment of its own, the others are crops of the scenes in
    `intel6`, each with a description of its own: of 20, 16 JPEG, 2 PNG, 1 WebP and 1 TIFF.

    Args:
        root: The folder.
        count: Number of photos.
        shared: The folder that holds `photos` and `intel6`.
        seed: Decides the crops and their qualities.

    Returns:
        The photos.

    Raises:
        SystemExit: There is no photo to make them from.
    """
    big, small = (sorted((shared / name).rglob("*.jpg")) for name in ("photos", "intel6"))
    if not big or not small:
        raise SystemExit(f"there are no photos in {shared}/photos and {shared}/intel6; set ULECLI_SHARED")
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        month = number * 240 // count
        folder = root / str(2005 + month // 12) / f"{month % 12 + 1:02}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"IMG_{number:05}"
        kind, ending = _KINDS[number % len(_KINDS)]
        path = folder / f"{name}{ending}"
        if number % EVERY_BIG == EVERY_BIG // 2:  # a JPEG by the table above
            path.write_bytes(_commented(big[number // EVERY_BIG % len(big)], name))
        else:
            path.write_bytes(_cropped(small[number % len(small)], name, kind, rng))
        made.append(path)
    return made


def _commented(path: Path, text: str) -> bytes:
    """Return the bytes of a JPEG with one more comment segment."""
    content = path.read_bytes()
    return content[:2] + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text.encode() + content[2:]


def _cropped(path: Path, text: str, kind: str, rng: np.random.Generator) -> bytes:
    """Return the bytes of a part of a photo with a description."""
    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    left, top, right, bottom = (int(side) for side in rng.integers(0, 20, 4))
    file = BytesIO()
    with Image.open(path) as image:
        part = image.crop((left, top, image.width - right, image.height - bottom))
    part.save(file, kind, quality=int(rng.integers(75, 96)), exif=exif)
    return file.getvalue()
