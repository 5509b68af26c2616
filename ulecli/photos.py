"""Finding photos: which files there are, judged by their first bytes and never by their names.

Only the first bytes of each file are read here, so a library of many thousand photos is listed in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ulecli.codec.formats import HEAD, SUPPORTED, missing, sniff
from ulecli.codec.formats import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from ulecli.codec.formats import SUFFIXES as SUFFIXES
from ulecli.errors import NoSuchPath, shown
from ulecli.records import Photo, PhotoOutcome, Status

OUTPUT_MARK = "-protected"
"""What the names of default outputs end with."""


@dataclass(frozen=True)
class Found:
    """What lies under the named paths.

    Attributes:
        photos: Files that hold a supported format, sorted by path.
        others: What can't be protected, with the reason, sorted by path; what is no picture is left out.
    """

    photos: tuple[Photo, ...]
    others: tuple[PhotoOutcome, ...]


def find(sources: Sequence[Path]) -> Found:
    """List the photos among files and folder trees.

    Folders are walked whole and in sorted order. Left out without a word: hidden files and folders (and
    AppleDouble's `._*`), symlinked folders, and files that are no pictures. The output of an earlier run is
    left out and told. A file that can't be read never stops the search.

    Args:
        sources: Files and folders as the user named them.

    Returns:
        Every photo once, however often it was named.

    Raises:
        NoSuchPath: A source does not exist.
    """
    check_exist(sources)
    photos: dict[str, Photo] = {}
    others: dict[str, PhotoOutcome] = {}
    for source in sources:
        for item in _look_into(source):
            path = item.path if isinstance(item, Photo) else item.source
            key = os.path.abspath(path)  # noqa: PTH100 - must not resolve symlinks
            if isinstance(item, Photo):
                photos.setdefault(key, item)
            else:
                others.setdefault(key, item)
    return Found(
        tuple(sorted(photos.values(), key=lambda photo: photo.path)),
        tuple(sorted(others.values(), key=lambda outcome: outcome.source)),
    )


def check_exist(sources: Sequence[Path]) -> None:
    """Check that whatever the user named is there.

    Raises:
        NoSuchPath: A source does not exist.
    """
    for source in sources:
        if not os.path.lexists(source):
            raise NoSuchPath(f"{shown(source)} does not exist")


def is_earlier_output(path: Path) -> bool:
    """Tell whether `path` is named like a default output and what it would be made of lies beside it."""
    stem = path.name if path.is_dir() else path.stem
    if not stem.endswith(OUTPUT_MARK):
        return False
    suffix = "" if path.is_dir() else path.suffix
    original = stem.removesuffix(OUTPUT_MARK)
    return bool(original) and path.with_name(original + suffix).exists()


def _look_into(source: Path) -> Iterator[Photo | PhotoOutcome]:
    if is_earlier_output(source):
        yield _earlier_output(source)
    elif source.is_dir():
        yield from _walk(source)
    else:
        item = _look_at(source, source)
        yield item or PhotoOutcome(source, None, Status.FAILED, f"is no photo; {SUPPORTED}")


def _walk(source: Path) -> Iterator[Photo | PhotoOutcome]:
    unreadable: list[PhotoOutcome] = []

    def note(error: OSError) -> None:
        reason = f"can't be listed: {error.strerror}"
        unreadable.append(PhotoOutcome(Path(error.filename), None, Status.FAILED, reason))

    for folder, folders, files in os.walk(source, onerror=note):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [name for name in folders if is_earlier_output(here / name)]:
            folders.remove(name)
            yield _earlier_output(here / name)
        for name in sorted(name for name in files if not name.startswith(".")):
            path = here / name
            if is_earlier_output(path):
                yield _earlier_output(path)
            elif item := _look_at(path, source):
                yield item
    yield from unreadable


def _look_at(path: Path, source: Path) -> Photo | PhotoOutcome | None:
    """Judge one file; None if nothing says that it is, or should be, a picture."""
    named = path == source
    expected = named or path.suffix.lower() in PICTURE_SUFFIXES
    if not path.is_file():  # a dangling link, a pipe, a device: opening it could block for ever
        return PhotoOutcome(path, None, Status.FAILED, "is not a regular file") if expected else None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        reason = f"can't be read: {error.strerror}"
        return PhotoOutcome(path, None, Status.FAILED, reason) if expected else None
    found = sniff(head)
    if found in SUFFIXES:
        if lacking := missing(found):
            return PhotoOutcome(path, None, Status.SKIPPED, lacking, found)
        return Photo(path, source, found)
    if found:
        status = Status.FAILED if named else Status.SKIPPED
        return PhotoOutcome(path, None, status, f"{found} is not supported; {SUPPORTED}", found)
    if expected:
        reason = f"is no photo; {SUPPORTED}" if head else "is empty"
        return PhotoOutcome(path, None, Status.FAILED, reason)
    return None


def _earlier_output(path: Path) -> PhotoOutcome:
    reason = "looks like the output of an earlier run; rename it if it shall be protected"
    return PhotoOutcome(path, None, Status.SKIPPED, reason)
