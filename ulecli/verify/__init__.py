"""`verify`: is a protected file what `protect` promises? Measured on the two files alone; prints nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ulecli import carry
from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import audit
from ulecli.formats.picture import decode
from ulecli.formats.registry import HEAD, SUFFIXES, sniff
from ulecli.records import Metadata
from ulecli.units import LEVELS
from ulecli.verify.cue import Cue, CueReader, Reading
from ulecli.verify.pairs import Pair, pair_up
from ulecli.verify.ssim import ssim

__all__ = [
    "Checked",
    "Cue",
    "CueReader",
    "Demands",
    "Pair",
    "Reading",
    "check",
    "check_all",
    "load",
    "pair_up",
]

DEFAULT_EPSILON = 8

_STORING_DB = 6.0
"""How far storing may take the PSNR of a lossy file below that of a change by epsilon everywhere. No format
that is written here comes near; a file beyond it holds another picture."""


WEAK = 0.5
"""Share of pairs above which unread codes are a fault of the run: another key, surrogate or program. Of
photos of 150 pixels that were protected right the code does not read in 3 %, under the worst of the codes in
27 % (`benchmarks/codes_read.py`); by chance it reads in 10 %."""


@dataclass(frozen=True)
class Demands:
    """What the files are held to.

    Attributes:
        epsilon: The bound in levels; None means what the mark of each file says, or 8.
        metadata: With which mode they were protected; what it takes away must not be there.
    """

    epsilon: int | None = None
    metadata: Metadata = Metadata.PRIVATE


@dataclass(frozen=True)
class Checked:
    """What was found about one pair.

    Attributes:
        pair: The files.
        problems: Why it fails, in words; empty if it does not.
        format: Of the protected file, by content.
        width: Of the upright picture, in pixels.
        height: Of the upright picture, in pixels.
        lossless: The format holds every level as it was, so that the bound is exact.
        marked: The file bears the mark of a protected picture.
        epsilon: The bound that it was held to, in levels.
        max_change: Largest change of any channel of RGB, in levels.
        psnr_db: Peak signal-to-noise ratio in dB; infinite for equal pictures.
        ssim: Mean structural similarity of the luma, at most 1.
        leaks: What the file tells beyond what the metadata mode `private` writes.
        cue: What the surrogate's nets read; None if they were not asked.
    """

    pair: Pair
    problems: tuple[str, ...]
    format: str = ""
    width: int = 0
    height: int = 0
    lossless: bool = False
    marked: bool = False
    epsilon: int = DEFAULT_EPSILON
    max_change: int | None = None
    psnr_db: float | None = None
    ssim: float | None = None
    leaks: tuple[str, ...] = ()
    cue: Cue | None = None

    @property
    def weak(self) -> bool:
        """The code that it carries is known and does not read. In one photo that is no fault: see `WEAK`."""
        return self.cue is not None and self.cue.known and not self.cue.readings["file"].reads


def check_all(
    pairs: Iterable[Pair], demands: Demands, reader: CueReader | None, *, jobs: int = 1
) -> Iterator[Checked]:
    """Check pairs, `jobs` at a time, and yield what was found in their order.

    Args:
        pairs: The files.
        demands: What the files are held to.
        reader: Reads the cues; None if nobody asks.
        jobs: Pairs in memory at the same time.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="pair") as workers:
        yield from workers.map(lambda pair: check(pair, demands, reader), pairs)


def check(pair: Pair, demands: Demands, reader: CueReader | None = None) -> Checked:
    """Check one pair; whatever goes wrong becomes a problem of it."""
    if pair.protected is None:
        return Checked(pair, ("has no protected copy" + (f": {pair.reason}" if pair.reason else ""),))
    try:
        return _measured(pair, pair.protected, demands, reader)
    except (PhotoError, PhotoSkipped) as error:
        return Checked(pair, (str(error),))
    except MemoryError:
        return Checked(pair, ("needs more memory than there is; try --jobs 1",))
    except OSError as error:
        return Checked(pair, (f"can't be read: {error.strerror or error}",))


def load(path: Path) -> tuple[Image.Image, str]:
    """Read the first picture of a photo of any format, as upright RGB with its profile, and tell the format.

    Raises:
        PhotoError: It is damaged or no photo.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        format = sniff(file.read(HEAD))
    if format not in SUFFIXES:
        raise PhotoError(f"{path.name!r} is no photo of a supported format")
    picture = decode(path, format, first_frame=True)
    image = picture.image if picture.image.mode == "RGB" else picture.image.convert("RGB")
    image.info["icc_profile"] = picture.settings.get("icc_profile", b"")
    return image, format


def _measured(pair: Pair, path: Path, demands: Demands, reader: CueReader | None) -> Checked:
    original, _ = load(pair.original)
    protected, format = load(path)
    mark = audit.mark_in(path)
    epsilon = demands.epsilon or (mark.epsilon if mark else DEFAULT_EPSILON)
    found = Checked(
        pair,
        (),
        format,
        *protected.size,
        lossless=audit.is_lossless(path, format),
        marked=mark is not None,
        epsilon=epsilon,
        leaks=tuple(audit.leaks(path)),
    )
    if original.size != protected.size:
        size = f"{original.width} x {original.height}"
        return replace(found, problems=(f"is {protected.width} x {protected.height}, its original {size}",))
    apart = carry.difference(original, protected)
    found = replace(
        found,
        max_change=apart.max_change,
        psnr_db=apart.psnr_db,
        ssim=ssim(original, protected),
        cue=reader.cue(protected, pair.code) if reader else None,
    )
    return replace(found, problems=tuple(_problems(found, demands.metadata)))


def _problems(found: Checked, mode: Metadata) -> Iterator[str]:
    assert found.max_change is not None and found.psnr_db is not None
    if found.max_change == 0:
        yield "is not changed at all"
        return
    if found.lossless and found.max_change > found.epsilon:
        yield f"moves a channel by {found.max_change} levels, more than {found.epsilon}"
    least = 20 * math.log10(LEVELS / found.epsilon) - _STORING_DB
    if found.psnr_db < least:
        yield f"is {found.psnr_db:.1f} dB from its original: another picture, or altered since"
    leaks = [leak for leak in found.leaks if mode is not Metadata.KEEP or audit.shows_more(leak)]
    if leaks:
        yield f"tells more than {mode} lets through: {', '.join(leaks)}"
