"""What every format has: how it is recognised, read, decoded and encoded, and what it can't hold."""

from __future__ import annotations

import contextlib
import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.memory import Memory
from ulecli.formats.tones import Space
from ulecli.system.mapped_file import Content

MAX_BLOCK = 16 << 20
"""Bytes; a longer block is cut there: no metadata that is read here has a reason to be longer."""

GAIN_MAP = "its gain map for bright screens was left out"
DEPTH = "its depth map or masks were left out"
VIDEO = "its video was left out; it is a motion photo, as it seems"
REST = "what lies behind the picture in its file was left out"

ENOUGH = 4096
"""Bytes, to tell filling from content."""

_OF_THE_CONTENT = {None, errno.EINVAL, errno.EOVERFLOW}
"""What an `OSError` is numbered with that a decoder raises, or the system when a damaged offset is sought."""


class Unfollowable(ValueError):
    """The structure of a file can't be followed from some byte on."""

    def __init__(self, place: int) -> None:
        """Remember the byte, counted from 0."""
        super().__init__(f"its structure can't be followed at byte {place}")
        self.place = place


Range = tuple[int, int]
"""Where a piece of a file starts and ends."""


@dataclass(frozen=True)
class Block:
    """One piece of a file that holds no pixels of the picture.

    Attributes:
        kind: "EXIF", "XMP", "ICC", "TIFF" (the file itself is the block), or what it is in words.
        content: Its bytes, to be read before the next block is asked for; empty where only its presence
            matters.
    """

    kind: str
    content: Content = b""


@dataclass
class Source:
    """An opened picture whose header is known and whose pixels are not decoded yet.

    Attributes:
        size: Width and height as stored, in pixels.
        settings: What the encoder needs to store the picture as it was; arguments of `Image.save`.
        colours: Those of the settings that say what the colours mean; void once pixels are brought to sRGB.
        bits: Per channel.
        scans: Walks over the whole picture that decoding takes.
        frames: Pictures in the file that are meant to be seen one after the other.
        frame_word: What to call them.
        skip_frames: Leave the file alone if there are several and the first alone was not asked for.
        taken: Which of several is decoded.
        exif: The EXIF block, with or without its prefix; or b"".
        xmp: The XMP packet; or b"".
        profile: The ICC profile of the pixels as they are stored; or b"".
        space: What the levels of RGB mean, if the file says so without a profile.
        info: Further metadata, by the names that `ulecli.formats.metadata.policy` knows.
        not_carried: Names of the metadata that no mode can keep.
        remarks: What is left out or decided, for the user.
        pixels: (H, W, 4) uint8, the memory of the decoded picture if that is RGBX.
        opacity: Of a decoded picture of 16-bit gray; else None.
    """

    size: tuple[int, int] = (0, 0)
    settings: dict[str, Any] = field(default_factory=dict)
    colours: dict[str, Any] = field(default_factory=dict)
    bits: int = 8
    scans: int = 1
    frames: int = 1
    frame_word: str = "frames"
    skip_frames: bool = True
    taken: str = "first"
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    space: Space | None = None
    info: dict[str, Any] = field(default_factory=dict)
    not_carried: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)
    pixels: NDArray[np.uint8] | None = None
    opacity: Image.Image | None = None

    def open_decoder(self) -> None:
        """Hand the file to its library, if that takes memory: the size is known to be bearable by now."""

    def load(self, memory: Memory | None) -> Image.Image:
        """Decode the picture.

        Args:
            memory: Where an RGBX picture may lie; None if it may not be one.
        """
        raise NotImplementedError

    def low_bytes(self) -> Image.Image | None:
        """Decode the lower bytes of 16 bits per channel, in the picture's mode; None if they can't be had."""
        return None


class Format(ABC):
    """One format of files that are protected.

    Attributes:
        name: By which it is known everywhere: a key of `ulecli.formats.registry.FORMATS`.
        suffixes: Name endings that fit it; the first is the usual one.
        encoder: Pillow's name of it.
        max_bytes: Longer files are refused, since their decoder would hold them in memory; None for any.
        pixels_per_byte: More can't be compressed into a byte; None for any.
        from_memory: The file is read into memory, if it is not very long, instead of being mapped.
        turned_by_xmp: XMP says how the picture lies; else the container does, and the decoder has heeded it.
        holds_mark: It has room for metadata.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    encoder: ClassVar[str]
    max_bytes: ClassVar[int | None] = None
    pixels_per_byte: ClassVar[int | None] = None
    from_memory: ClassVar[bool] = False
    turned_by_xmp: ClassVar[bool] = True
    holds_mark: ClassVar[bool] = True

    @abstractmethod
    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes of a file, 64 if there are as many, are of this format."""

    def missing(self) -> str:
        """Say what has to be installed before it can be read; empty if nothing."""
        return ""

    @abstractmethod
    def open(self, file: BinaryIO, data: Content) -> Source:
        """Read the header of a picture.

        Args:
            file: Open for reading, at its start.
            data: Its content.

        Raises:
            PhotoSkipped: It is of a kind that can't be kept or read.
            Exception: It is damaged.
        """

    @abstractmethod
    def blocks(self, data: Content, whole: bool) -> Iterator[Block]:
        """Yield what a file holds beside its pixels.

        Args:
            data: Its content.
            whole: Look behind the beginning of the pixels too.

        Raises:
            Unfollowable: The structure is broken.
        """

    @abstractmethod
    def image_ranges(self, data: Content) -> Iterator[Range]:
        """Yield where the coded picture lies, which tools that write metadata copy as it is.

        Raises:
            Unfollowable: The structure is broken.
        """

    def lossless(self, data: Content) -> bool:
        """Return whether a file holds every level as it was given to the encoder."""
        return True

    def prepare(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings in which "exif" and "xmp" are where the encoder looks for them."""
        return settings

    def finish(self, file: BinaryIO, settings: dict[str, Any]) -> None:  # noqa: B027 - most have nothing to do
        """Add to a file that was just encoded what its encoder can't write; open for reading and writing."""


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Report what a decoder or encoder raises as a `PhotoError`, but lack of memory or disk as what it is."""
    try:
        yield
    except (PhotoError, PhotoSkipped, MemoryError):
        raise
    except Exception as error:  # they raise what they like
        if isinstance(error, OSError) and error.errno not in _OF_THE_CONTENT:
            raise
        raise PhotoError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


def behind(data: Content, end: int) -> str:
    """Return the remark on what follows the end of a picture; empty if it is nothing but filling."""
    if not data[end : end + ENOUGH].strip(b"\0\r\n"):
        return ""
    return VIDEO if data.find(b"ftyp", end) >= 0 else REST


def density(dpi: Any) -> dict[str, Any]:
    """Return the setting that keeps how large the picture is printed."""
    return {"dpi": dpi} if dpi and all(0.5 <= dots < 65536 for dots in dpi) else {}


def alone(stored: Image.Image) -> Image.Image:
    """Return decoded pixels without what an encoder would write of a file's `info`."""
    stored.info = {}
    return stored
