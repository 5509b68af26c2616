"""HEIC: pictures coded as HEVC in the boxes of `bmff`; read and written by an extra package."""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image

from ulecli.errors import PhotoSkipped, install_extra
from ulecli.formats import bmff, colour
from ulecli.formats.format import Source
from ulecli.formats.memory import Memory
from ulecli.system.mapped_file import Content

LOSSY_QUALITY = 70
"""A file does not say its quality; this is as fine as a JPEG of 85."""

_MOST_ENCODED = 142_606_336
"""Pixels of the largest level of HEVC. Phones lay a larger picture in tiles, as is done here."""

_TILE = 4096
"""Side in pixels."""


class _Opened(Source):
    """A HEIC whose boxes were read."""

    def __init__(self, file: BinaryIO, data: Content) -> None:
        super().__init__()
        meta = bmff.read_meta(data)
        self.size = meta.size() or (0, 0)
        self.frame_word, self.taken = "pictures", "main one"
        self._file, self._points = file, meta.code_points() or (colour.UNSPECIFIED, colour.UNSPECIFIED)
        self.remarks += bmff.left_out(data)

    def open_decoder(self) -> None:
        """Hand the file to the library."""
        from pillow_heif import HeifImageFile

        stored: Any = HeifImageFile(self._file)  # type: ignore[no-untyped-call]
        self._stored = stored
        self.size, self.frames = stored.size, int(stored.n_frames)
        self.bits = int(stored.info.get("bit_depth", 8))
        chroma = stored.info.get("chroma", 420)
        # The default preset takes 11 s for 12 megapixels and saves a fifth of the bytes.
        preset = {"preset": "ultrafast"}
        self.settings = {"quality": LOSSY_QUALITY, "chroma": chroma, "enc_params": preset}
        self.settings |= _tiles(stored.size, stored.mode)
        self.exif = bytes(stored.info.get("exif") or b"")
        xmp = stored.info.get("xmp") or b""
        self.xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
        self.profile = bytes(stored.info.get("icc_profile") or b"")
        self.profile = self.profile or colour.coded_profile(*self._points)

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture."""
        self._stored.load()
        image: Image.Image = self._stored
        return image


def _tiles(size: tuple[int, int], mode: str) -> dict[str, int]:
    """Return the setting that a picture needs which is too large for the encoder; none for any other.

    Raises:
        PhotoSkipped: It has transparency, which the encoder can't lay in tiles.
    """
    if size[0] * size[1] <= _MOST_ENCODED:
        return {}
    if mode.endswith(("A", "a")):
        raise PhotoSkipped(
            f"has {size[0]} x {size[1]} pixels with transparency, too many for a HEIC; make it a PNG"
        )
    return {"tile_size": _TILE}


class _Heic(bmff.ItemFormat):
    """HEIF with HEVC (ISO/IEC 23008-12)."""

    name, suffixes, encoder = "HEIC", (".heic", ".heif", ".hif"), "HEIF"

    def missing(self) -> str:
        """Name the extra package where it is missing."""
        try:
            import pillow_heif  # noqa: F401
        except ImportError:
            return f"HEIC needs one more package: {install_extra('heif')}"
        return ""

    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the boxes."""
        return _Opened(file, data)

    def prepare(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Make the encoder known to Pillow."""
        from pillow_heif import register_heif_opener

        register_heif_opener()
        return settings


HEIC = _Heic()
