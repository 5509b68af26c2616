"""What lies among photos without being meant: trash, thumbnails and snapshots of systems, backups of tools.

What somebody has deleted must not come out protected among the others, and a thumbnail is no photo. Hidden
names are left out anyhow, and are not listed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

from ulecli.protection.globs import alike, matcher

NAMES = (
    # Trash: Synology and Samba, QNAP, Windows, Buffalo, macOS on servers, Android, Nextcloud.
    *("#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "RECYCLED", "Recycle Bin", "trashbox"),
    *("Network Trash Folder", "files_trashbin", "lost+found", "LOST.DIR"),
    # Snapshots and versions: Synology, QNAP, NetApp, Nextcloud.
    *("#snapshot", "@Recently-Snapshot", "~snapshot", "files_versions"),
    # Thumbnails and work files: Synology, QNAP, iPods, Lightroom, Windows, macOS.
    *("@eaDir", "@__thumb", "@Transcode", "@tmp", "iPod Photo Cache", "*.lrdata"),
    *("System Volume Information", "__MACOSX", "Temporary Items"),
)
"""Globs of names of folders."""

FILES = ("SYNOPHOTO_THUMB*", "*.*_original", "*.*~")
"""Globs of names of files: thumbnails of Synology, backups of exiftool and of editors."""

PLACES = (
    # Apple's libraries keep the photos themselves in `originals` or `Masters`.
    *("*.photoslibrary/resources", "*.photoslibrary/scopes", "*.photoslibrary/private"),
    *("*.photolibrary/thumbnails", "*.photolibrary/previews", "*.photolibrary/resources"),
    *("*.aplibrary/thumbnails", "*.aplibrary/previews"),
    # Capture One; the previews of Nextcloud.
    *("*/captureone/cache", "*/appdata_*/preview"),
)
"""Globs of paths of folders."""


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(alike(glob)) for glob in globs))


_NAMES, _FILES, _PLACES = _any_of(NAMES), _any_of(FILES), _any_of(PLACES)


class Junk:
    """Decides what is left out by default, but for what a pattern of `--include` names."""

    def __init__(self, include: tuple[str, ...] = ()) -> None:
        """Make the test.

        Args:
            include: Globs. A part of one, between slashes, that fits a name lifts the rule for that name,
                unless it is made of wildcards alone.
        """
        parts = {part for glob in include for part in glob.split("/") if part.strip("*?.")}
        self._lifted = [matcher(part) for part in sorted(parts)]

    def file(self, name: str) -> bool:
        """Return whether a file is junk by its name."""
        name = alike(name)
        return bool(_FILES.match(name)) and not self._named(name)

    def folder(self, path: str) -> bool:
        """Return whether a folder is junk by its name and what lies right above it.

        Args:
            path: Written with slashes; it begins with the name of the folder that the user named.
        """
        path = alike(path)
        name = path.rpartition("/")[2]
        return bool(_NAMES.match(name) or _PLACES.match(path)) and not self._named(name)

    def _named(self, name: str) -> bool:
        return any(lifted.match(name) for lifted in self._lifted)
