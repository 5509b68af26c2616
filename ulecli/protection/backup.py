"""Keeping an original before something else takes its place."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from ulecli.system.atomic import part_of, sync, sync_folder
from ulecli.system.fingerprint import file_sha256


def keep(original: Path, backup: Path, sha256: bytes) -> Path:
    """Keep a file under another name; when this returns it is on the disk there.

    Nothing is ever overwritten: if another file has the name, a number is added; if this very content has it,
    an earlier run has kept it and nothing is done. On one disk the file gets a second name, which takes no
    room: what then takes its place is another file.

    Args:
        original: The file.
        backup: The name to keep it under; missing folders are made.
        sha256: Of the file's content.

    Returns:
        Where it is kept.

    Raises:
        OSError: It can't be kept; the original must not be replaced then.
    """
    backup.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        place = backup if number == 1 else backup.with_name(f"{backup.stem}-{number}{backup.suffix}")
        if os.path.lexists(place):
            if place.is_file() and file_sha256(place) == sha256:
                return place
            continue
        _put(original, place)
        sync(place)
        sync_folder(place.parent)
        return place
    raise AssertionError("there is always another number")


def _put(original: Path, place: Path) -> None:
    try:
        os.link(original, place)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one that knows no second names
        part = part_of(place)
        try:
            shutil.copy2(original, part)
            sync(part)
            with contextlib.suppress(OSError):  # where it works, it can't overwrite
                os.link(part, place)
            if not os.path.lexists(place):
                part.rename(place)
        finally:
            part.unlink(missing_ok=True)
