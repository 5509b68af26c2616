"""Where each protected photo goes: a mirror of the sources, in which no file takes another's place."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ulecli.errors import TargetError, shown
from ulecli.photos import OUTPUT_MARK, PICTURE_SUFFIXES, SUFFIXES
from ulecli.records import Photo


@dataclass(frozen=True)
class Target:
    """The place of one protected photo.

    Attributes:
        photo: What will be protected.
        path: Where it goes.
        remark: Why the name is not the source's; empty if it is.
    """

    photo: Photo
    path: Path
    remark: str = ""


def plan(photos: Sequence[Photo], sources: Sequence[Path], output: Path | None) -> list[Target]:
    """Choose a target for every photo.

    The tree below a folder is mirrored: into `output`, into `output/NAME` where there are several sources, or
    into the sibling `NAME-protected`. A single file goes into `output` or becomes `STEM-protected` beside
    itself. A name ending that does not fit the content is corrected. Of two photos that would end up in one
    place, also on a disk that ignores case, the second gets a number; names that need no correction go first.

    Args:
        photos: Sorted by path.
        sources: As named by the user.
        output: Root of the output, or None for siblings.

    Returns:
        A target for each photo, in the given order.

    Raises:
        TargetError: The output would lie in a source or on it, or a source in the output.
    """
    several = len(sources) > 1
    _check_roots({photo.source for photo in photos}, output)
    wanted = {photo: _mirror(photo, output, several) for photo in photos}
    targets: dict[Photo, Target] = {}
    taken = {_place(photo.path) for photo in photos}
    # Default names lie beside sources and may evade one; under -o a source in the way is a mistake.
    for path in wanted.values() if output else ():
        if _place(path) in taken:
            raise TargetError(f"the output would replace the source {shown(path)}; choose another with -o")
    for photo in sorted(photos, key=lambda photo: not _fits(photo)):
        path, remark = wanted[photo], ""
        if not _fits(photo):
            path = _corrected(path, photo.format)
            remark = f"holds {photo.format}, so its name ends in {path.suffix}"
        if _place(path) in taken:
            path = next(other for other in _numbered(path) if _place(other) not in taken)
            remark = f"{remark}; the name was taken" if remark else "the name was taken"
        taken.add(_place(path))
        targets[photo] = Target(photo, path, remark)
    return [targets[photo] for photo in photos]


def check_writable(targets: Sequence[Target], output: Path | None) -> None:
    """Check before the work begins that the places of the output can be written to.

    Raises:
        TargetError: A folder is read-only, or a file is where a folder must be.
    """
    roots = {output} if output else {_sibling_folder(target.photo.source) for target in targets}
    for root in sorted(roots):
        folder = next(folder for folder in (root, *root.absolute().parents) if os.path.lexists(folder))
        if not folder.is_dir():
            raise TargetError(f"{shown(folder)} is not a folder; choose another output with -o")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise TargetError(f"can't write in {shown(folder)}; choose another output with -o")


def _sibling_folder(source: Path) -> Path:
    return _sibling(source) if source.is_dir() else source.parent


def _named(source: Path) -> Path:
    """Return the source by a path that ends in its name ("." and ".." do not)."""
    named = source if source.name not in ("", "..") else source.resolve()
    if not named.name:
        raise TargetError(f"{shown(source)} has no sibling; name an output folder with -o")
    return named


def _sibling(source: Path) -> Path:
    named = _named(source)
    if source.is_dir():
        return named.with_name(named.name + OUTPUT_MARK)
    return named.with_name(named.stem + OUTPUT_MARK + named.suffix)


def _mirror(photo: Photo, output: Path | None, several: bool) -> Path:
    source = photo.source
    if photo.path == source:
        return _sibling(source) if output is None else output / source.name
    within = photo.path.relative_to(source)
    if output is None:
        return _sibling(source) / within
    return output / _named(source).name / within if several else output / within


def _check_roots(sources: Iterable[Path], output: Path | None) -> None:
    folders = sorted(source for source in sources if source.is_dir())
    for folder in folders:
        root = (_sibling(folder) if output is None else output).resolve()
        for source in folders:
            inside = source.resolve()
            if root == inside:
                raise TargetError(f"the output {shown(root)} is the source itself; choose another with -o")
            if inside in root.parents:
                raise TargetError(
                    f"the output {shown(root)} lies inside the source {shown(source)}; choose another with -o"
                )
            if root in inside.parents:
                raise TargetError(
                    f"the source {shown(source)} lies inside the output {shown(root)}; choose another with -o"
                )


def _fits(photo: Photo) -> bool:
    return photo.path.suffix.lower() in SUFFIXES[photo.format]


def _corrected(path: Path, format: str) -> Path:
    """Replace an ending that names another picture format; add one where the ending means something else."""
    suffix = SUFFIXES[format][0]
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def _numbered(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))


def _place(path: Path) -> str:
    """Return what two paths share if a file system may hold them to be one."""
    real = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
    return unicodedata.normalize("NFC", real).casefold()
