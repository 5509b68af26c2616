"""Globs that say which files below the sources are wanted."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import translate
from pathlib import PurePosixPath

from ulecli.protection.config import Selection


@dataclass(frozen=True)
class Fits:
    """Tells whether a file or folder is wanted, by its path below the source, written with slashes."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]

    def __call__(self, path: str) -> bool:
        """Tell whether a file is wanted."""
        if self.exclude:
            folders = [str(parent) for parent in PurePosixPath(path).parents]
            if self._any(self.exclude, path) or not all(self.folder(folder) for folder in folders):
                return False
        return not self.include or self._any(self.include, path)

    def folder(self, path: str) -> bool:
        """Tell whether files below a folder can be wanted."""
        return path == "." or not self._any(self.exclude, path)

    @staticmethod
    def _any(patterns: tuple[re.Pattern[str], ...], path: str) -> bool:
        path = _plain(path)
        name = path.rpartition("/")[2]
        return any(pattern.match(path) or pattern.match(name) for pattern in patterns)


def fits_of(selection: Selection) -> Fits:
    """Make the test out of the patterns; see `Selection` for what they mean."""
    return Fits(_compiled(selection.include), _compiled(selection.exclude))


def _compiled(globs: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(translate(_plain(glob.rstrip("/").removeprefix("./")))) for glob in globs)


def _plain(text: str) -> str:
    """Make names alike that a person holds to be one, whatever their case and their form of Unicode."""
    return unicodedata.normalize("NFC", text).casefold()
