"""Globs that say which files below the sources are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ulecli.protection.config import Selection
from ulecli.protection.globs import alike, matcher

Patterns = dict[str, re.Pattern[str]]
"""Compiled globs by what the user wrote."""


class Fits:
    """Decides whether a file or folder is wanted, by its path below the source, written with slashes.

    It remembers which patterns have fitted something; see `Selection` for what they mean.
    """

    def __init__(self, selection: Selection) -> None:
        self._include, self._exclude = _compiled(selection.include), _compiled(selection.exclude)
        self._used: set[re.Pattern[str]] = set()

    def __call__(self, path: str) -> bool:
        """Return whether a file is wanted, and every folder above it."""
        folders = [str(parent) for parent in PurePosixPath(path).parents] if self._exclude else []
        return all([self.folder(folder) for folder in folders]) and self.file(path)

    def file(self, path: str) -> bool:
        """Return whether a file is wanted if the folders above it are."""
        excluded, included = self._any(self._exclude, path), self._any(self._include, path)
        return not excluded and (included or not self._include)

    def folder(self, path: str) -> bool:
        """Return whether files below a folder can be wanted."""
        return path == "." or not self._any(self._exclude, path)

    def unused(self) -> Iterator[str]:
        """Name the patterns that have fitted nothing, each as an option of the command line."""
        for option, patterns in (("--include", self._include), ("--exclude", self._exclude)):
            for glob, pattern in patterns.items():
                if pattern not in self._used:
                    yield f"{option} '{glob}'"

    def _any(self, patterns: Patterns, path: str) -> bool:
        if not patterns:
            return False
        path = alike(path)
        name = path.rpartition("/")[2]
        fitting = {one for one in patterns.values() if one.match(path) or one.match(name)}
        self._used |= fitting
        return bool(fitting)


def _compiled(globs: tuple[str, ...]) -> Patterns:
    return {glob: matcher(glob.rstrip("/").removeprefix("./")) for glob in globs}
