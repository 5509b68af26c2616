"""Where each protected photo goes: a mirror of the sources, in which no file takes another's place."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ulecli.errors import TargetError, shown
from ulecli.formats.registry import PICTURE_SUFFIXES, SUFFIXES
from ulecli.protection.config import ProtectConfig
from ulecli.protection.find import OUTPUT_MARK
from ulecli.protection.outcome import Photo
from ulecli.protection.task import Task
from ulecli.system import paths
from ulecli.system.fingerprint import file_sha256

if TYPE_CHECKING:
    from ulecli.protection.ledger import Ledger


LedgerOf = Callable[[Path], "Ledger | None"]
"""Returns the ledger of a root of the output; None where there is none yet."""

Place = Callable[[Path], str]
"""Returns what two paths share if a file system may hold them to be one."""


def plan(
    found: Sequence[Photo], config: ProtectConfig, ledger_of: LedgerOf = lambda root: None
) -> list[Task]:
    """Choose a target for every photo.

    The tree below a folder is mirrored: into the output, into `OUTPUT/NAME` where there are several sources,
    or into the sibling `NAME-protected`. A single file goes into the output or becomes `STEM-protected`
    beside itself, or becomes the very file that is named with `-o`. A name ending that does not fit the
    content is corrected. Of two photos that would end in one place, also on a disk that ignores case, the
    second gets a number; so does one whose place an earlier run gave to another photo. A photo that an
    earlier run gave a place keeps it.

    Args:
        found: Photos, sorted by path.
        config: The sources as named by the user, the output, and whether photos are replaced in place.
        ledger_of: What earlier runs did.

    Returns:
        A task for each photo, in the given order; whose it is and what it carries is added later.
    """
    if config.in_place:
        return [_in_place(photo, config) for photo in found]
    if file := file_named(config):
        return [Task(photo, file, root_of(photo, config)) for photo in found]
    several, place = len(config.sources) > 1, places()
    taken = {place(photo.path) for photo in found}
    roots = [root_of(photo, config) for photo in found]
    known = {root: ledger for root in set(roots) if (ledger := ledger_of(root)) and not ledger.empty()}
    ideal = [_named_right(photo, mirror(photo, config.output, several)) for photo in found]
    earlier = [
        _earlier(photo, path, known.get(root), place)
        for photo, root, (path, _) in zip(found, roots, ideal, strict=True)
    ]
    targets: dict[int, Task] = {}
    for number in sorted(
        range(len(found)), key=lambda number: (earlier[number] is None, not fits(found[number]))
    ):
        photo, root, (path, remark) = found[number], roots[number], ideal[number]
        ledger = known.get(root)
        choice = itertools.chain(filter(None, [earlier[number]]), [path], _numbered(path))
        free = next(one for one in choice if place(one) not in taken and _may_have(photo, one, ledger))
        if free != path:
            remark = f"{remark}; the name was taken" if remark else "the name was taken"
        taken.add(place(free))
        targets[number] = Task(photo, free, root, remark)
    return [targets[number] for number in range(len(found))]


def _in_place(photo: Photo, config: ProtectConfig) -> Task:
    several = len(config.sources) > 1
    backup = mirror(photo, config.backup, several) if config.backup else None
    remark = "" if fits(photo) else f"holds {photo.format}; its name was left as it is"
    return Task(photo, photo.path, root_of(photo, config), remark, backup)


def _named_right(photo: Photo, path: Path) -> tuple[Path, str]:
    if fits(photo):
        return path, ""
    path = _corrected(path, photo.format)
    return path, f"holds {photo.format}, so its name ends in {path.suffix}"


def file_named(config: ProtectConfig) -> Path | None:
    """Return the file that the one photo shall become; None where the output is a folder, or by default."""
    output, sources = config.output, config.sources
    if output is None or config.listed or len(sources) != 1 or not looks_like_a_photo(output):
        return None
    return None if paths.is_folder(sources[0]) else output


def looks_like_a_photo(output: Path) -> bool:
    """Return whether an output is named like a picture and is no folder yet."""
    return output.suffix.lower() in PICTURE_SUFFIXES and not paths.is_folder(output)


def root_of(photo: Photo, config: ProtectConfig) -> Path:
    """Return the folder of the output that a photo belongs to, where the ledger lies."""
    if file := file_named(config):
        return file.parent
    if config.output:
        return config.output
    if photo.within:  # from a list: one ledger for all of it, not one in each folder
        return Path()
    folder = photo.path != photo.source
    if config.in_place:
        return photo.source if folder else photo.source.parent
    return sibling(photo.source, folder=True) if folder else photo.source.parent


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
    """Return whether a place is free of what an earlier run made of another photo."""
    entry = ledger.by_target(path) if ledger else None
    if entry is None or entry.source == Path(os.path.abspath(photo.path)):  # noqa: PTH100 - links stay links
        return True
    try:  # the library may have moved: then it is the same photo
        same = photo.path.stat().st_size == entry.source_fingerprint.size
        return same and file_sha256(photo.path) == entry.source_fingerprint.sha256
    except OSError:
        return False


def free_name(path: Path) -> Path:
    """Return the path itself if nothing lies there, else with a number before its ending."""
    names = itertools.chain([path], _numbered(path))
    return next(name for name in names if not os.path.lexists(name))


def named_source(source: Path) -> Path:
    """Return the source by a path that ends in its name ("." and ".." do not)."""
    named = source if source.name not in ("", "..") else Path(paths.real(source))
    if not named.name:
        raise TargetError(f"{shown(source)} has no sibling; name an output folder with -o")
    return named


def sibling(source: Path, *, folder: bool) -> Path:
    """Return where the output of a source goes by default."""
    named = named_source(source)
    if folder:
        return named.with_name(named.name + OUTPUT_MARK)
    return named.with_name(named.stem + OUTPUT_MARK + named.suffix)


def mirror(photo: Photo, output: Path | None, several: bool) -> Path:
    """Return where a photo goes below an output, or by default, whatever lies there.

    Args:
        photo: The photo.
        output: A folder; None for the sibling of the source.
        several: Several sources go there, each into a folder of its name.
    """
    source = photo.source
    if photo.within and output:
        return output / photo.within
    if photo.path == source:
        return sibling(source, folder=False) if output is None else output / source.name
    within = photo.path.relative_to(source)
    if output is None:
        return sibling(source, folder=True) / within
    return output / named_source(source).name / within if several else output / within


def fits(photo: Photo) -> bool:
    """Return whether a photo's name ends as its content does."""
    return photo.path.suffix.lower() in SUFFIXES[photo.format]


def _corrected(path: Path, format: str) -> Path:
    """Replace an ending that names another picture format; add one where the ending means something else."""
    suffix = SUFFIXES[format][0]
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def _numbered(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))


def places() -> Place:
    """Make a function that gives two paths one place if a file system may hold them to be one."""
    real = cache(paths.real)  # of folders; a library has far fewer than photos

    def place(path: Path) -> str:
        folder, name = os.path.split(path)
        return unicodedata.normalize("NFC", os.path.join(real(folder), name)).casefold()  # noqa: PTH118

    return place
