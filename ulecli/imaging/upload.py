"""What a platform does to a photo between its owner and whoever downloads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ulecli.errors import UsageError

_UPLOAD = re.compile(r"([1-9][0-9]{0,4})|(?:([1-9][0-9]{0,4}):)?q([1-9][0-9]?|100)")
"""Long side alone, or JPEG quality with or without the long side before it."""


@dataclass(frozen=True)
class Upload:
    """What a platform does to a photo before anyone can download it.

    Attributes:
        side: The longer side is shrunk to this many pixels, never enlarged; None leaves the size.
        quality: Of the JPEG 4:2:0 that it is stored as, 1 to 100; None stores without loss.
    """

    side: int | None = None
    quality: int | None = None

    @classmethod
    def parse(cls, text: str) -> Upload:
        """Read "none", "q85", "1080" or "1080:q85".

        Raises:
            UsageError: It is none of these, or a number is out of range.
        """
        if text == "none":
            return cls()
        match = _UPLOAD.fullmatch(text)
        if not match:
            raise UsageError(
                f"--upload {text!r} is no upload; use none, q85 (JPEG quality, 1 to 100), 1080 (long side in "
                "pixels) or 1080:q85"
            )
        side, quality = match[1] or match[2], match[3]
        return cls(int(side) if side else None, int(quality) if quality else None)

    def __str__(self) -> str:
        parts = [str(self.side)] * bool(self.side) + [f"q{self.quality}"] * bool(self.quality)
        return ":".join(parts) or "none"

    def __call__(self, photo: Image.Image) -> Image.Image:
        """Return an upright RGB photo as it can be downloaded again."""
        longer = max(photo.size)
        if self.side and longer > self.side:
            width, height = (max(1, round(edge * self.side / longer)) for edge in photo.size)
            photo = photo.resize((width, height), Image.Resampling.LANCZOS)
        if not self.quality:
            return photo
        file = BytesIO()
        photo.save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        file.seek(0)
        return JpegImageFile(file)  # not Image.open, which refuses what is large
