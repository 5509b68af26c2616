"""Finding photos: which files there are, judged by their first bytes and never by their names.

Only the first bytes of each file are read here, so a library of many thousand photos is listed in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ulecli.errors import NoSuchPath, shown
from ulecli.formats.registry import HEAD, PICTURE_SUFFIXES, SUFFIXES, SUPPORTED, missing, sniff
from ulecli.protection.config import Selection
from ulecli.protection.junk import Junk
from ulecli.protection.outcome import Photo, PhotoOutcome, Status
from ulecli.protection.selection import Fits
from ulecli.system import paths

OUTPUT_MARK = "-protected"
"""What the names of default outputs end with."""

_ALL = Selection()

Item = Photo | PhotoOutcome


@dataclass(frozen=True)
class Found:
    """What lies under the named paths.

    Attributes:
        photos: Files that hold a supported format, sorted by path.
        others: What can't be protected, with the reason, sorted by path; what is no picture is left out.
        junk: Folders and files that are trash, thumbnails and the like, and were left out, sorted.
        unused: Patterns that have fitted nothing, as options of the command line.
    """

    photos: tuple[Photo, ...]
    others: tuple[PhotoOutcome, ...]
    junk: tuple[Path, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass
class _Search:
    """What is looked for, and what was left out on the way."""

    fits: Fits
    junk: Junk
    recursive: bool
    only: Collection[Path] | None
    left_out: set[Path] = field(default_factory=set)

    def in_junk(self, inner: Path, source: Path) -> bool:
        """Return whether a file is junk or lies in some, given by its path below a source."""
        top = _base_name(source)
        folders = [f"{top}/{folder.as_posix()}" for folder in inner.parents if folder.parts]
        return self.junk.file(inner.name) or any(map(self.junk.folder, folders))


def find(
    sources: Sequence[Path],
    listed: Sequence[Path] = (),
    selection: Selection = _ALL,
    only: Collection[Path] | None = None,
) -> Found:
    """List the photos among files and folder trees.

    Folders are walked in sorted order. Left out without a word: hidden files and folders (and AppleDouble's
    `._*`), what the selection does not want, and files that are no pictures. Left out and reported: symlinked
    folders (so a loop of links has an end), the output of an earlier run, and junk of systems. A link to a
    file is followed; a file that is reached by several ways is taken once, and the other ways are reported.
    What can't be read, entered or followed never stops the search.

    Args:
        sources: Files and folders as the user named them.
        listed: Files named in a list. One that is missing fails alone, and one that is no picture is skipped.
        selection: What is wanted below the sources and of the list.
        only: Look at these files below the sources, and at no others.

    Returns:
        Every photo once, however often it was named.

    Raises:
        NoSuchPath: A source does not exist, and `only` does not say where to look.
    """
    if only is None:
        check_exist(sources)
    search = _Search(Fits(selection), Junk(selection.include), selection.recursive, only)
    items: list[Item] = []
    for source in sources:
        items += _look_into(source, search)
    items += _look_at_list(listed, search)
    photos, others = _once(items)
    return Found(photos, others, tuple(sorted(search.left_out)), tuple(search.fits.unused()))


def check_exist(sources: Sequence[Path]) -> None:
    """Check that whatever the user named is there; what can't be reached may be.

    Raises:
        NoSuchPath: A source does not exist.
    """
    for source in sources:
        if paths.is_gone(source):
            raise NoSuchPath(f"{shown(source)} does not exist")


def is_earlier_output(path: Path) -> bool:
    """Return whether `path` is named like a default output and what it would be made of lies beside it."""
    if not path.name.partition(OUTPUT_MARK)[1]:
        return False
    stem, suffix = (path.name, "") if paths.is_folder(path) else (path.stem, path.suffix)
    original = stem.removesuffix(OUTPUT_MARK)
    return original not in ("", stem) and paths.exists(path.with_name(original + suffix))


def _once(items: Iterable[Item]) -> tuple[tuple[Photo, ...], tuple[PhotoOutcome, ...]]:
    """Take every file once, by its own name rather than by a link to it."""
    real_folder = cache(paths.real)
    photos: dict[str, Photo] = {}
    others: dict[str, PhotoOutcome] = {}
    links: list[Photo] = []
    for item in items:
        if isinstance(item, PhotoOutcome):
            others.setdefault(_absolute(item.source), item)
        elif paths.is_link(item.path):
            links.append(item)
        else:
            photos.setdefault(os.path.join(real_folder(item.path.parent), item.path.name), item)  # noqa: PTH118
    for link in links:
        first = photos.setdefault(paths.real(link.path), link)
        if _absolute(first.path) != _absolute(link.path):
            reason = f"is a link to what is taken as {shown(first.path)}"
            others[_absolute(link.path)] = PhotoOutcome(link.path, None, Status.SKIPPED, reason, link.format)
    return (
        tuple(sorted(photos.values(), key=lambda photo: photo.path)),
        tuple(sorted(others.values(), key=lambda outcome: outcome.source)),
    )


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - must not resolve symlinks


def _base_name(source: Path) -> str:
    return source.name or os.path.basename(_absolute(source))  # noqa: PTH119 - of "." too


def _look_into(source: Path, search: _Search) -> Iterator[Item]:
    only = search.only
    if is_earlier_output(source):
        yield _earlier_output(source)
    elif not paths.is_folder(source):
        if search.fits(source.name) and (only is None or source in only):
            yield _look_at(source, source) or _no_photo(source, Status.FAILED)
    elif only is None:
        yield from _walk(source, search)
    else:
        for path in sorted(only):
            if source in path.parents and _within_reach(path.relative_to(source), source, search):
                yield from _if_any(_look_at(path, source))


def _within_reach(inner: Path, source: Path, search: _Search) -> bool:
    """Return whether a walk would come to a file."""
    hidden = any(part.startswith(".") for part in inner.parts)
    deep = len(inner.parts) > 1
    reached = not hidden and (search.recursive or not deep) and search.fits(inner.as_posix())
    return reached and not search.in_junk(inner, source)


def _walk(source: Path, search: _Search) -> Iterator[Item]:
    unreadable: list[PhotoOutcome] = []
    top = _base_name(source)

    def note(error: OSError) -> None:
        reason = f"can't be listed: {error.strerror}"
        unreadable.append(PhotoOutcome(Path(error.filename), None, Status.FAILED, reason))

    for folder, folders, files in os.walk(source, onerror=note):
        here = Path(folder)
        inner = here.relative_to(source).as_posix()
        above = "" if inner == "." else f"{inner}/"
        below = [name for name in folders if not name.startswith(".") and search.recursive]
        below = [name for name in below if search.fits.folder(above + name)]
        folders[:] = []
        for name in sorted(below):
            if search.junk.folder(f"{top}/{above}{name}"):
                search.left_out.add(here / name)
            elif outcome := _not_entered(here / name):
                yield outcome
            else:
                folders.append(name)
        for name in sorted(name for name in files if not name.startswith(".")):
            if not search.fits.file(above + name):
                continue
            if search.junk.file(name):
                search.left_out.add(here / name)
            else:
                yield from _if_any(_look_at(here / name, source))
    yield from unreadable


def _not_entered(folder: Path) -> PhotoOutcome | None:
    if is_earlier_output(folder):
        return _earlier_output(folder)
    if paths.is_link(folder):
        reason = "is a link to a folder; name it as well if its photos shall be protected"
        return PhotoOutcome(folder, None, Status.SKIPPED, reason)
    return None


def _look_at_list(listed: Sequence[Path], search: _Search) -> Iterator[Item]:
    for name in listed:
        path = _without_return(name)
        within = _below_output(path)
        if path.name.startswith("._") or not search.fits(within.as_posix()):
            continue
        if search.in_junk(within, Path()):
            search.left_out.add(path)
            continue
        if paths.is_gone(path):
            yield PhotoOutcome(path, None, Status.FAILED, "does not exist")
            continue
        if paths.is_folder(path):
            reason = "is a folder, and of a list only files are taken; name it as a PATH"
            yield PhotoOutcome(path, None, Status.SKIPPED, reason)
            continue
        item = _look_at(path, path, named=False) or _no_photo(path, Status.SKIPPED)
        if isinstance(item, Photo):
            item = Photo(item.path, item.source, item.format, within)
        yield item


def _without_return(path: Path) -> Path:
    """Take a line of a list that Windows has ended for what it means, unless there is a file of that name."""
    name = path.name.removesuffix("\r")
    return path if name in ("", path.name) or os.path.lexists(path) else path.with_name(name)


def _below_output(path: Path) -> Path:
    """Return where a listed path belongs below an output: at the same relative place, as with tar."""
    inner = Path(os.path.normpath(path))
    if inner.parts[:1] == ("..",):
        inner = Path(_absolute(path))
    return inner.relative_to(inner.anchor) if inner.anchor else inner


def _look_at(path: Path, source: Path, named: bool | None = None) -> Item | None:
    """Judge one file; None if nothing says that it is, or should be, a picture."""
    if named is None:
        named = path == source
    if is_earlier_output(path):
        return _earlier_output(path)

    def fail(reason: str) -> PhotoOutcome | None:
        expected = named or path.suffix.lower() in PICTURE_SUFFIXES
        return PhotoOutcome(path, None, Status.FAILED, reason) if expected else None

    if problem := paths.problem(path):
        return fail(problem)
    if not paths.is_file(path):  # a pipe, a device: opening it could block for ever
        return fail("is not a regular file")
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
    except OSError as error:
        return fail(f"can't be read: {error.strerror}")
    format = sniff(head)
    if format in SUFFIXES:
        lacking = missing(format)
        return (
            PhotoOutcome(path, None, Status.SKIPPED, lacking, format)
            if lacking
            else Photo(path, source, format)
        )
    if format:
        status = Status.FAILED if named else Status.SKIPPED
        return PhotoOutcome(path, None, status, f"{format} is not supported; {SUPPORTED}", format)
    return fail(f"is no photo; {SUPPORTED}" if head else "is empty")


def _if_any(item: Item | None) -> Iterator[Item]:
    if item:
        yield item


def _no_photo(path: Path, status: Status) -> PhotoOutcome:
    return PhotoOutcome(path, None, status, f"is no photo; {SUPPORTED}")


def _earlier_output(path: Path) -> PhotoOutcome:
    reason = "looks like the output of an earlier run; rename it if it shall be protected"
    return PhotoOutcome(path, None, Status.SKIPPED, reason)
