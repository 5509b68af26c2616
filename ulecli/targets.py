"""Where each protected photo goes: a mirror of the sources, in which no file takes another's place."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ulecli.errors import TargetError, shown
from ulecli.formats.registry import PICTURE_SUFFIXES, SUFFIXES
from ulecli.photos import OUTPUT_MARK
from ulecli.records import Photo, ProtectConfig
from ulecli.stamps import file_sha256

if TYPE_CHECKING:
    from ulecli.ledger import Ledger


Ledgers = Callable[[Path], "Ledger | None"]
"""Returns the ledger of a root of the output; None where there is none yet."""

Place = Callable[[Path], str]
"""Returns what two paths share if a file system may hold them to be one."""


@dataclass(frozen=True)
class Target:
    """The place of one protected photo.

    Attributes:
        photo: What will be protected.
        path: Where it goes.
        root: The folder of the output that it belongs to, where the ledger lies.
        remark: Why the name is not the source's; empty if it is.
        backup: Where the photo itself goes before it is replaced; None where it is not, or shall be lost.
    """

    photo: Photo
    path: Path
    root: Path
    remark: str = ""
    backup: Path | None = None


def check(found: Sequence[Photo], config: ProtectConfig) -> None:
    """Check before anything is written that the output can be, and does not mix with the sources.

    Raises:
        TargetError: The output or backup would lie in a source or on it, or a source in one of them; or a
            folder is read-only, or a file is where a folder must be.
    """
    _check_roots({photo.source for photo in found}, config)
    elsewhere = "no photo in it can be replaced" if config.in_place else "choose another output with -o"
    _check_writable({_root(photo, config) for photo in found}, elsewhere)
    _check_writable({config.backup} if config.backup else (), "choose another with --backup")
    # Default names lie beside sources and may evade one; under -o a file in the way is a mistake. What lies
    # in a source folder is not in the way: the folders don't mix, and where links mix them `plan` evades.
    place = _places()
    named = {place(photo.path) for photo in found if photo.path == photo.source}
    if config.output and named:
        for path in (_mirror(photo, config.output, len(config.sources) > 1) for photo in found):
            if place(path) in named:
                raise TargetError(
                    f"the output would replace the source {shown(path)}; choose another with -o"
                )


def _check_writable(roots: Iterable[Path], instead: str) -> None:
    for root in sorted(roots):
        folder = next(folder for folder in (root, *root.absolute().parents) if os.path.lexists(folder))
        if not folder.is_dir():
            raise TargetError(f"{shown(folder)} is not a folder; {instead}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise TargetError(f"can't write in {shown(folder)}; {instead}")


def plan(found: Sequence[Photo], config: ProtectConfig, ledgers: Ledgers = lambda root: None) -> list[Target]:
    """Choose a target for every photo.

    The tree below a folder is mirrored: into the output, into `OUTPUT/NAME` where there are several sources,
    or into the sibling `NAME-protected`. A single file goes into the output or becomes `STEM-protected`
    beside itself. A name ending that does not fit the content is corrected. Of two photos that would end in
    one place, also on a disk that ignores case, the second gets a number; so does one whose place an earlier
    run gave to another photo. A photo that an earlier run gave a place keeps it.

    Args:
        found: Photos, sorted by path.
        config: The sources as named by the user, the output, and whether photos are replaced in place.
        ledgers: What earlier runs did.

    Returns:
        A target for each photo, in the given order.
    """
    if config.in_place:
        return [_in_place(photo, config) for photo in found]
    several, place = len(config.sources) > 1, _places()
    taken = {place(photo.path) for photo in found}
    roots = [_root(photo, config) for photo in found]
    known = {root: ledger for root in set(roots) if (ledger := ledgers(root)) and not ledger.empty()}
    ideal = [_named_right(photo, _mirror(photo, config.output, several)) for photo in found]
    earlier = [
        _earlier(photo, path, known.get(root), place)
        for photo, root, (path, _) in zip(found, roots, ideal, strict=True)
    ]
    targets: dict[int, Target] = {}
    for number in sorted(
        range(len(found)), key=lambda number: (earlier[number] is None, not _fits(found[number]))
    ):
        photo, root, (path, remark) = found[number], roots[number], ideal[number]
        ledger = known.get(root)
        choice = itertools.chain(filter(None, [earlier[number]]), [path], _numbered(path))
        free = next(one for one in choice if place(one) not in taken and _may_have(photo, one, ledger))
        if free != path:
            remark = f"{remark}; the name was taken" if remark else "the name was taken"
        taken.add(place(free))
        targets[number] = Target(photo, free, root, remark)
    return [targets[number] for number in range(len(found))]


def _in_place(photo: Photo, config: ProtectConfig) -> Target:
    several = len(config.sources) > 1
    backup = _mirror(photo, config.backup, several) if config.backup else None
    remark = "" if _fits(photo) else f"holds {photo.format}; its name was left as it is"
    return Target(photo, photo.path, _root(photo, config), remark, backup)


def _named_right(photo: Photo, path: Path) -> tuple[Path, str]:
    if _fits(photo):
        return path, ""
    path = _corrected(path, photo.format)
    return path, f"holds {photo.format}, so its name ends in {path.suffix}"


def _root(photo: Photo, config: ProtectConfig) -> Path:
    if config.output:
        return config.output
    if photo.within:  # from a list: one ledger for all of it, not one in each folder
        return Path()
    folder = photo.path != photo.source
    if config.in_place:
        return photo.source if folder else photo.source.parent
    return _sibling(photo.source, folder=True) if folder else photo.source.parent


def _earlier(photo: Photo, ideal: Path, ledger: Ledger | None, place: Place) -> Path | None:
    """Return the place that an earlier run gave to a photo, if it is of the kind that it would get now."""
    for entry in ledger.by_source(photo.path) if ledger else ():
        path = ideal.with_name(entry.target.name)
        number = path.stem.removeprefix(ideal.stem).removeprefix("-")
        fits = path.suffix == ideal.suffix and path.stem.startswith(ideal.stem)
        if fits and (number.isdecimal() or not number) and place(path) == place(entry.target):
            return path
    return None


def _may_have(photo: Photo, path: Path, ledger: Ledger | None) -> bool:
    """Tell whether a place is free of what an earlier run made of another photo."""
    entry = ledger.by_target(path) if ledger else None
    if entry is None or entry.source == Path(os.path.abspath(photo.path)):  # noqa: PTH100 - links stay links
        return True
    try:  # the library may have moved: then it is the same photo
        same = photo.path.stat().st_size == entry.source_stamp.size
        return same and file_sha256(photo.path) == entry.source_stamp.sha256
    except OSError:
        return False


def free_name(path: Path) -> Path:
    """Return the path itself if nothing lies there, else with a number before its ending."""
    names = itertools.chain([path], _numbered(path))
    return next(name for name in names if not os.path.lexists(name))


def _named(source: Path) -> Path:
    """Return the source by a path that ends in its name ("." and ".." do not)."""
    named = source if source.name not in ("", "..") else source.resolve()
    if not named.name:
        raise TargetError(f"{shown(source)} has no sibling; name an output folder with -o")
    return named


def _sibling(source: Path, *, folder: bool) -> Path:
    named = _named(source)
    if folder:
        return named.with_name(named.name + OUTPUT_MARK)
    return named.with_name(named.stem + OUTPUT_MARK + named.suffix)


def _mirror(photo: Photo, output: Path | None, several: bool) -> Path:
    source = photo.source
    if photo.within and output:
        return output / photo.within
    if photo.path == source:
        return _sibling(source, folder=False) if output is None else output / source.name
    within = photo.path.relative_to(source)
    if output is None:
        return _sibling(source, folder=True) / within
    return output / _named(source).name / within if several else output / within


def _check_roots(sources: Iterable[Path], config: ProtectConfig) -> None:
    folders = sorted(source for source in sources if source.is_dir())
    if config.in_place and config.backup is None:
        return
    what, option = ("backup", "--backup") if config.in_place else ("output", "-o")
    for folder in folders:
        root = (config.backup or config.output or _sibling(folder, folder=True)).resolve()
        for source in folders:
            inside = source.resolve()
            if root == inside:
                raise TargetError(
                    f"the {what} {shown(root)} is the source itself; choose another with {option}"
                )
            if inside in root.parents:
                raise TargetError(
                    f"the {what} {shown(root)} lies inside the source {shown(source)}; "
                    f"choose another with {option}"
                )
            if root in inside.parents:
                raise TargetError(
                    f"the source {shown(source)} lies inside the {what} {shown(root)}; "
                    f"choose another with {option}"
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


def _places() -> Place:
    real = cache(os.path.realpath)  # of folders; a library has far fewer than photos

    def place(path: Path) -> str:
        folder, name = os.path.split(path)
        return unicodedata.normalize("NFC", os.path.join(real(folder), name)).casefold()  # noqa: PTH118

    return place
