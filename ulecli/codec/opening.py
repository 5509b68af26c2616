"""Files to opened pictures of one given format, checked by their headers before a pixel is decoded."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ulecli.codec.formats import missing
from ulecli.codec.headers import kept_place
from ulecli.codec.kinds import is_raw, unreadable
from ulecli.errors import PhotoError, PhotoSkipped

MAX_PIXELS = 300_000_000
"""Pictures whose header claims more are refused before a byte of them is decoded."""

_MAX_SCANS = 250
"""A progressive JPEG has some ten; each is a walk over the whole picture, and a file can claim thousands."""

_MOST_BYTES = dict.fromkeys(("WEBP", "AVIF", "HEIC"), 512 << 20)
"""Decoders of these formats hold the whole file in memory."""

_PIXELS_PER_BYTE = {"JPEG": 512, "PNG": 8 * 1032}
"""No compression does more: a bit for a block of 8 x 8, and a byte for 1032 bytes of one bit a pixel."""

_OF_THE_CONTENT = {None, errno.EINVAL, errno.EOVERFLOW}
"""What an `OSError` is numbered with that a decoder raises, or the system when a damaged offset is sought."""

_SMALL = 10_000_000
"""Pixels; what claims no more is decoded to see where it ends."""

_KIND_OF_PAGE, _REDUCED = 254, 1
"""Tag of TIFF, and the bit in it that says: a smaller version of another page."""

_RAW = "is a camera's raw file, as it seems; protect a JPEG made of it"
_CROP = b"\0\0\0\x28clap"
"""A box of an AVIF that Pillow does not heed."""


class _Png(PngImageFile):
    """Pillow's, which forgets that gray of 2 and 4 bits is stretched to 8, and invents a missing palette."""

    def _open(self) -> None:
        super()._open()
        if self.mode == "P" and self.palette is None:
            raise PhotoError("is damaged: its palette is missing")
        stretch = {"L;2": 85, "L;4": 17}.get(str(self.tile[0].args if self.tile else ""))
        if stretch and "transparency" in self.info:
            self.info["transparency"] *= stretch


class _Webp(WebPImageFile):
    """Pillow's, which would keep its decoder and with it two more copies of the picture."""

    def _get_next(self) -> tuple[bytes, int, int]:
        frame = super()._get_next()
        self._decoder: Any = None  # nothing but the first frame is asked for
        return frame


class _Tiff(TiffImageFile):
    """Pillow's, without a limit of pixels of its own, which can only be moved for the whole process."""

    def _setup(self) -> None:
        """Refuse what Pillow would take for damage or, worse, for something else."""
        if reason := unreadable(self.tag_v2):
            raise PhotoSkipped(reason)
        try:
            super()._setup()
        except SyntaxError as error:
            raise PhotoSkipped(f"is a TIFF of a kind that can't be read: {error}") from error

    def load_prepare(self) -> None:
        """Make room for the pixels as they are stored, which is before they are turned upright."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size, None).im
        ImageFile.ImageFile.load_prepare(self)


def _open_heic(file: BinaryIO) -> ImageFile.ImageFile:
    if reason := missing("HEIC"):
        raise PhotoSkipped(reason)
    from pillow_heif import HeifImageFile

    heic: ImageFile.ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return heic


def _open_tiff(file: BinaryIO) -> ImageFile.ImageFile:
    with kept_place(file):
        if is_raw(file):
            raise PhotoSkipped(_RAW)
    return _Tiff(file)


def _open_avif(file: BinaryIO) -> ImageFile.ImageFile:
    with kept_place(file):
        if _CROP in file.read():
            raise PhotoSkipped("is an AVIF that shows a part of its pixels (clap), which can't be kept")
    return AvifImageFile(file)


# Image.open would check its own, lower limit of pixels, and hand a file to whichever parser wants it.
_OPENERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "JPEG": jpeg_factory,
    "PNG": _Png,
    "WEBP": _Webp,
    "TIFF": _open_tiff,
    "BMP": BmpImageFile,
    "AVIF": _open_avif,
    "HEIC": _open_heic,
}


@contextlib.contextmanager
def opened(file: BinaryIO, format: str) -> Iterator[ImageFile.ImageFile]:
    """Open a picture by the parser of its format and no other.

    Raises:
        PhotoError: It is damaged.
        PhotoSkipped: The package that reads the format is not installed.
    """
    size = os.fstat(file.fileno()).st_size
    if size > _MOST_BYTES.get(format, size):
        raise PhotoError(f"is {size >> 20} MiB long; its decoder would hold all of it in memory")
    with refusing(f"is damaged or no {format} that can be read"):
        stored = _OPENERS[format](file)
    with stored:
        yield stored


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Tell what a decoder or encoder raises as a `PhotoError`, but lack of memory or disk as what it is."""
    try:
        yield
    except (PhotoError, PhotoSkipped, MemoryError):
        raise
    except Exception as error:  # they raise what they like
        if isinstance(error, OSError) and error.errno not in _OF_THE_CONTENT:
            raise
        raise PhotoError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


def check_size(stored: ImageFile.ImageFile, file: BinaryIO, format: str, max_pixels: int) -> None:
    """Refuse by the header what would take too much memory or time to decode.

    Raises:
        PhotoError: It is too large, or much too large for the bytes there are, or has too many scans.
    """
    width, height = stored.size
    pixels = width * height
    if pixels > max_pixels:
        raise PhotoError(
            f"claims {width} x {height} pixels; the limit is {max_pixels / 1e6:g} megapixels (--max-pixels)"
        )
    if pixels < 1:
        raise PhotoError(f"claims {width} x {height} pixels")
    size = os.fstat(file.fileno()).st_size
    if pixels > max(_SMALL, size * _PIXELS_PER_BYTE.get(format, pixels)):
        raise PhotoError(f"is damaged: {width} x {height} pixels can't be in {size} bytes")
    if "progressive" in stored.info and (scans := _scans(file)) > _MAX_SCANS:
        raise PhotoError(f"is damaged or made to take for ever: it has {scans} scans")


def check_frames(stored: ImageFile.ImageFile, *, first_frame: bool, remarks: list[str]) -> None:
    """Leave animations and files of several pages alone, or take the first picture and say so.

    Raises:
        PhotoError: The further pictures are damaged.
        PhotoSkipped: There are several and the first alone was not asked for; or it is a camera's raw file.
    """
    with refusing("is damaged"):
        if isinstance(stored, TiffImageFile):
            count, what = _pages(stored), "pages"
        else:
            count = int(getattr(stored, "n_frames", 1))
            what = "pictures" if stored.format in ("MPO", "HEIF") else "frames"
    if count == 1:
        return
    if first_frame or isinstance(stored, MpoImageFile):
        which = "main one" if stored.format == "HEIF" else "first"
        remarks.append(f"holds {count} {what}; the {which} was taken")
    elif what == "frames":
        raise PhotoSkipped(f"is an animation of {count} frames; --first-frame takes the first")
    else:
        raise PhotoSkipped(f"holds {count} {what}; --first-frame takes one")


def _pages(stored: TiffImageFile) -> int:
    """Count the pages of a TIFF; a smaller version of another page is none."""
    kinds = []
    for number in range(stored.n_frames):
        stored.seek(number)
        kinds.append(int(stored.tag_v2.get(_KIND_OF_PAGE, 0)))
        if kinds[0] & _REDUCED:
            raise PhotoSkipped(_RAW)
    stored.seek(0)
    return sum(not kind & _REDUCED for kind in kinds)


def _scans(file: BinaryIO) -> int:
    with kept_place(file):
        file.seek(0)
        count, last = 0, b""
        while piece := file.read(1 << 20):  # the file may be longer than the memory
            count += (last + piece).count(b"\xff\xda")
            last = piece[-1:]
        return count
