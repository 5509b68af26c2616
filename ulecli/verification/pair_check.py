"""`verify`: is a protected file what `protect` promises? Measured on the two files alone; prints nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import audit
from ulecli.formats.options import MetadataMode
from ulecli.protection.pairs import Pair
from ulecli.surrogates.recognition import Cue, CueReader
from ulecli.system.isolated import IsolatedWorker, Pool
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.system.serving import reason_of
from ulecli.units import DEFAULT_EPSILON, LEVELS
from ulecli.verification.measure import ENTRY, Measures, Request, measured_in

Measure = Callable[[Request], Measures]

_STORING_DB = 6.0
"""How far storing may take the PSNR of a lossy file below that of a change by epsilon everywhere. No format
that is written here comes near; a file beyond it holds another picture."""


WEAK = 0.5
"""Share of pairs above which cues that are not recognised are a fault of the run: another surrogate, or
copies that were altered since."""


@dataclass(frozen=True)
class Demands:
    """What the files are held to.

    Attributes:
        epsilon: The bound in levels; None means what the mark of each file says, or 8.
        metadata: With which mode they were protected; what it takes away must not be there.
    """

    epsilon: int | None = None
    metadata: MetadataMode = MetadataMode.PRIVATE


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
        ssimulacra2: SSIMULACRA2 at the size of a screen, at most 100; None if it was not measured.
        flip: Mean FLIP at the size of a screen, 0 to 1; None if it was not measured.
        leaks: What the file reveals beyond what the metadata mode `private` writes.
        cue: What the surrogate's net sees; None if it was not asked, or no ledger says along which direction
            the photo was moved.
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
    ssimulacra2: float | None = None
    flip: float | None = None
    leaks: tuple[str, ...] = ()
    cue: Cue | None = None

    @property
    def weak(self) -> bool:
        """Its cue is not recognised. In one photo that is no fault: see `WEAK`."""
        return self.cue is not None and not self.cue.readings["file"].recognised


def check_all(
    pairs: Iterable[Pair],
    demands: Demands,
    reader: CueReader | None,
    *,
    visibility: bool = False,
    jobs: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
) -> Iterator[Checked]:
    """Check pairs, `jobs` at a time in processes of their own, and yield what was found in their order.

    A pair whose decoder crashes, hangs or needs too much memory fails, and the others go on.

    Args:
        pairs: The files.
        demands: What the files are held to.
        reader: Looks for the cues; None if nobody asks.
        visibility: Measure SSIMULACRA2 and FLIP, for which the extra `measure` must be installed.
        jobs: Pairs in memory at the same time.
        timeout: Seconds that one pair may take; 0 for any.
    """

    def check_in(worker: IsolatedWorker, pair: Pair) -> Checked:
        return check(
            pair, demands, reader, lambda request: measured_in(worker, request), visibility=visibility
        )

    yield from Pool(ENTRY, jobs, timeout=timeout).map(check_in, pairs)


def check(
    pair: Pair, demands: Demands, reader: CueReader | None, measure: Measure, *, visibility: bool = False
) -> Checked:
    """Check one pair; whatever goes wrong becomes a problem of it.

    Args:
        pair: The files.
        demands: What they are held to.
        reader: Looks for the cue; None if nobody asks.
        measure: Measures them, in a process of its own where they may be of any origin.
        visibility: Measure SSIMULACRA2 and FLIP too.
    """
    if pair.protected is None:
        return Checked(pair, ("has no protected copy" + (f": {pair.reason}" if pair.reason else ""),))
    sight = reader.sight if reader else None
    try:
        found = measure(Request(pair.original, pair.protected, sight, visibility=visibility))
    except (PhotoError, PhotoSkipped, MemoryError, OSError) as error:
        return Checked(pair, (reason_of(error),))
    return _judged(pair, found, demands, reader)


def drawn(
    all_found: Iterable[Checked], side: int, *, jobs: int = 1, timeout: float = DEFAULT_TIMEOUT
) -> list[tuple[Image.Image, Image.Image, int]]:
    """Return original and protected picture of every pair that could be compared, and its bound.

    Args:
        all_found: What was found about the pairs.
        side: Longest side that the pictures are shrunk to, in pixels.
        jobs: Pairs in memory at the same time.
        timeout: Seconds that one pair may take; 0 for any.
    """

    def draw(worker: IsolatedWorker, found: Checked) -> tuple[Image.Image, Image.Image, int] | None:
        assert found.pair.protected
        try:
            request = Request(found.pair.original, found.pair.protected, drawn=side)
            original, protected = map(Image.fromarray, measured_in(worker, request).drawn)
        except (PhotoError, PhotoSkipped, ValueError):  # changed since, to pictures of two sizes
            return None
        return original, protected, found.epsilon

    compared = [found for found in all_found if found.pair.protected and found.max_change is not None]
    return [row for row in Pool(ENTRY, jobs, timeout=timeout).map(draw, compared) if row]


def _judged(pair: Pair, found: Measures, demands: Demands, reader: CueReader | None) -> Checked:
    marked = found.mark_epsilon is not None
    checked = Checked(
        pair,
        (),
        found.format,
        width=found.size[0],
        height=found.size[1],
        lossless=found.lossless,
        marked=marked,
        epsilon=demands.epsilon or found.mark_epsilon or DEFAULT_EPSILON,
        max_change=found.max_change,
        psnr_db=found.psnr_db,
        ssim=found.ssim,
        ssimulacra2=found.visibility.ssimulacra2 if found.visibility else None,
        flip=found.visibility.flip if found.visibility else None,
        leaks=found.leaks,
        cue=_cue(pair, found, reader),
    )
    if found.size != found.original_size:
        one, other = ("{} x {}".format(*size) for size in (found.size, found.original_size))
        return replace(checked, problems=(f"is {one}, its original {other}",))
    return replace(checked, problems=tuple(_problems(checked, demands.metadata)))


def _cue(pair: Pair, found: Measures, reader: CueReader | None) -> Cue | None:
    """Look for the cue of a pair; None where nobody asks, or the direction to look along is not known."""
    if reader is None or pair.direction is None or found.seen is None or found.original_seen is None:
        return None
    if len(pair.direction) != reader.length:
        return None
    return reader.read(found.variants, found.original_seen, found.seen, pair.direction)


def _problems(found: Checked, mode: MetadataMode) -> Iterator[str]:
    assert found.max_change is not None and found.psnr_db is not None
    if found.max_change == 0:
        yield "is not changed at all"
        return
    if found.lossless and found.max_change > found.epsilon:
        yield f"moves a channel by {found.max_change} levels, more than {found.epsilon}"
    least = 20 * math.log10(LEVELS / found.epsilon) - _STORING_DB
    if found.psnr_db < least:
        yield f"is {found.psnr_db:.1f} dB from its original: another picture, or altered since"
    leaks = [leak for leak in found.leaks if mode is not MetadataMode.KEEP or audit.shows_more(leak)]
    if leaks:
        yield f"reveals more than {mode} lets through: {', '.join(leaks)}"
