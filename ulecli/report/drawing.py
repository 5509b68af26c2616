"""What the page shows of one photo, drawn and measured in a process of its own.

Before and after are stored in the same way and finely, so that what is seen between them is the protection.
The close view holds pixels of the photo as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.picture import displayed, load
from ulecli.imaging.difference import difference
from ulecli.imaging.figure import perturbation, shrunk
from ulecli.imaging.ssim import ssim, ssim_map
from ulecli.imaging.visibility import SCREEN_SIDE, Visibility, visibility
from ulecli.imaging.weakest import weakest_window
from ulecli.system.plain_data import BadMessage, Message, plain, restored
from ulecli.system.serving import Ask, Handler

SIDE = 240
"""Longest side of the perturbation in pixels: its cells are still several pixels wide."""

CLOSE_SIDE = 480
"""Longest side of the close view, in pixels of the photo."""

MAX_BYTES = 4 << 20
"""Of all pictures of one photo."""

_QUALITIES = (92, 85, 75, 50)
_FEW_BYTES = 400_000
"""What a picture may take before it is stored more coarsely."""

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Request:
    """What is asked about a photo.

    Attributes:
        target: The protected file.
        source: The original, which may not be there any more, or be the protected file itself.
        epsilon: The bound in levels.
        visibility: SSIMULACRA2 and FLIP are wanted.
    """

    target: Path
    source: Path
    epsilon: int
    visibility: bool = False


@dataclass(frozen=True)
class View:
    """One part of a photo, before and after.

    Attributes:
        width: Of both pictures, in pixels.
        height: Likewise.
        after: The protected photo, a JPEG.
        before: The original, a JPEG; empty if it is not there any more.
    """

    width: int
    height: int
    after: bytes
    before: bytes = b""


@dataclass(frozen=True)
class Drawn:
    """What was drawn and measured. Without an original there is only `fitted`.

    Attributes:
        fitted: The whole photo as it fits a screen.
        close: The part in which the change is seen most, by SSIM on the screen, in its own pixels; None if
            `fitted` has them.
        change: Thumbnail of the perturbation, a JPEG; empty without an original.
        psnr_db: Of the file against its original.
        ssim: Likewise.
        visibility: Likewise, at the size of a screen; None if it was not wanted.
    """

    fitted: View
    close: View | None = None
    change: bytes = b""
    psnr_db: float | None = None
    ssim: float | None = None
    visibility: Visibility | None = None


def handler() -> Handler:
    """Return what draws a photo for each request, in the process of a worker."""

    def handle(request: Message, ask: Ask) -> Message:
        drawn: Message = plain(_drawn(restored(Request, request)))
        return drawn

    return handle


def checked(content: Message, request: Request) -> Drawn:
    """Return what a worker sends, if it can be; that its pictures are some is for the browser to see.

    Raises:
        BadMessage: It can't.
    """
    drawn = restored(Drawn, content)
    if not all(picture.startswith(_JPEG) for picture in _pictures(drawn)):
        raise BadMessage("draws no picture")
    for view, most in ((drawn.fitted, SCREEN_SIDE), (drawn.close, CLOSE_SIDE)):
        if view and not (0 < min(view.width, view.height) <= max(view.width, view.height) <= most):
            raise BadMessage("draws a picture of a size that it can't have")
    seen = drawn.visibility
    if (seen is not None) is not (request.visibility and bool(drawn.fitted.before)):
        raise BadMessage("measures what nobody asked for, or lacks it")
    possible = (drawn.psnr_db or 0) >= 0 and -1 <= (drawn.ssim or 0) <= 1 + 1e-6
    if not possible or (seen and not seen.possible):
        raise BadMessage("measures what can't be")
    return drawn


def _pictures(drawn: Drawn) -> Iterator[bytes]:
    """Yield the pictures that must be there, and those that are."""
    yield drawn.fitted.after
    if drawn.fitted.before or drawn.change:
        yield from (drawn.fitted.before, drawn.change)
    if drawn.close:
        yield from (drawn.close.before, drawn.close.after)


def _drawn(request: Request) -> Drawn:
    protected, _ = load(request.target, alpha=True)
    original = _original(request, protected.size)
    after = displayed(shrunk(protected, SCREEN_SIDE))
    if original is None:
        return Drawn(_view(None, after))
    before = displayed(shrunk(original, SCREEN_SIDE))
    close = None
    if after.size != protected.size:
        window = weakest_window(ssim_map(before, after), protected.size, CLOSE_SIDE)
        close = _view(displayed(original.crop(window)), displayed(protected.crop(window)))
    one, other = (shrunk(picture, SIDE).convert("RGB") for picture in (original, protected))
    seen = visibility(np.asarray(before), np.asarray(after)) if request.visibility else None
    return Drawn(
        _view(before, after),
        close,
        _jpeg(perturbation(one, other, request.epsilon), 75),
        difference(original, protected).psnr_db,
        ssim(original, protected),
        seen,
    )


def _original(request: Request, size: tuple[int, int]) -> Image.Image | None:
    """Return the original, if it is there and still one: in place, it is the protected photo by now."""
    try:
        original, _ = load(request.source, alpha=True)
    except (PhotoError, PhotoSkipped, OSError, MemoryError):
        return None
    return None if original.size != size or request.source.samefile(request.target) else original


def _view(before: Image.Image | None, after: Image.Image) -> View:
    """Store both in the same way, as finely as the room allows."""
    pictures = [after] if before is None else [after, before]
    for quality in _QUALITIES:
        stored = [_jpeg(picture, quality) for picture in pictures]
        if max(map(len, stored)) <= _FEW_BYTES:
            break
    return View(*after.size, *stored)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stored = BytesIO()
    picture.save(stored, "JPEG", quality=quality, subsampling=0)
    return stored.getvalue()
