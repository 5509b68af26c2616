"""Checks before anything is written: the output can be, and mixes neither with the sources nor in itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ulecli.errors import TargetError, shown
from ulecli.formats.registry import SUFFIXES
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import (
    file_named,
    looks_like_a_photo,
    mirror,
    named_source,
    places,
    root_of,
    sibling,
)
from ulecli.protection.outcome import Photo
from ulecli.system import paths


def check(found: Sequence[Photo], config: ProtectConfig) -> None:
    """Check before anything is written that the output can be, and does not mix with the sources.

    Raises:
        TargetError: The output or backup would lie in a source or on it, or a source in one of them; or two
            sources would mix in it; or it is named like a photo and can't be that one; or a folder is
            read-only, or a file is where a folder must be.
    """
    if file := file_named(config):
        _check_file(found, file)
    elif config.output and looks_like_a_photo(config.output) and not paths.exists(config.output):
        raise TargetError(
            f"{shown(config.output)} is named like a photo, but several go there; name a folder with -o"
        )
    else:
        _check_roots({photo.source for photo in found}, config)
        _check_apart(found, config)
    elsewhere = "no photo in it can be replaced" if config.in_place else "choose another output with -o"
    _check_folders({root_of(photo, config) for photo in found}, elsewhere, config.dry_run)
    _check_folders({config.backup} if config.backup else (), "choose another with --backup", config.dry_run)
    _check_no_source_replaced(found, config)


def _check_file(found: Sequence[Photo], file: Path) -> None:
    """Check that the one photo can become the file that was named."""
    place = places()
    for photo in found:
        if place(photo.path) == place(file):
            raise TargetError(f"the output would replace the source {shown(file)}; choose another with -o")
        if file.suffix.lower() not in SUFFIXES[photo.format]:
            right = file.with_suffix(SUFFIXES[photo.format][0])
            raise TargetError(
                f"{shown(photo.path)} holds {photo.format}, so its copy can't be named {shown(file)}; "
                f"choose -o {shown(right)}"
            )


def _check_no_source_replaced(found: Sequence[Photo], config: ProtectConfig) -> None:
    # Default names lie beside sources and may evade one; under -o a file in the way is a mistake. What lies
    # in a source folder is not in the way: the folders don't mix, and where links mix them `plan` evades.
    place = places()
    named = {place(photo.path) for photo in found if photo.path == photo.source}
    if config.output and named and not file_named(config):
        for path in (mirror(photo, config.output, len(config.sources) > 1) for photo in found):
            if place(path) in named:
                raise TargetError(
                    f"the output would replace the source {shown(path)}; choose another with -o"
                )


def _check_apart(found: Sequence[Photo], config: ProtectConfig) -> None:
    """Check that no two folders would go into one.

    They are not kept apart by a number or the name of the folder above: which photo lies where would then
    depend on what else was named, and change when one more folder is.
    """
    root = config.backup if config.in_place else config.output
    if root is None or len(config.sources) < 2:
        return
    place, first = places(), dict[str, Path]()
    folders = {photo.source for photo in found if photo.path != photo.source and not photo.within}
    for source in sorted(folders):
        other = first.setdefault(place(root / named_source(source).name), source)
        if paths.real(other) != paths.real(source):
            option = "--backup" if config.in_place else "-o"
            inner = root / named_source(source).name
            raise TargetError(
                f"{shown(other)} and {shown(source)} would mix in {shown(inner)}; protect them one by one, "
                f"each with a folder of its own for {option}"
            )


def _check_folders(roots: Iterable[Path], instead: str, dry_run: bool) -> None:
    for root in sorted(roots):
        folder = next(folder for folder in (root, *root.absolute().parents) if os.path.lexists(folder))
        if not paths.is_folder(folder):
            problem = paths.problem(folder) or "is not a folder"
            raise TargetError(f"{shown(folder)} {problem}; {instead}")
        if not dry_run and not os.access(folder, os.W_OK | os.X_OK):
            raise TargetError(f"can't write in {shown(folder)}; {instead}")


def _check_roots(sources: Iterable[Path], config: ProtectConfig) -> None:
    folders = sorted(source for source in sources if paths.is_folder(source))
    if config.in_place and config.backup is None:
        return
    what, option = ("backup", "--backup") if config.in_place else ("output", "-o")
    for folder in folders:
        root = Path(paths.real(config.backup or config.output or sibling(folder, folder=True)))
        for source in folders:
            inside = Path(paths.real(source))
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
