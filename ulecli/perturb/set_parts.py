"""The perturbation of a set in parts on the disk, so that a long work that is interrupted loses little."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ulecli.system.atomic import replacing
from ulecli.system.writing import writing_to


class SetParts:
    """Delta of the batches of a set, one file each, which may come in any order and from several threads.

    A file appears whole or not at all, and is taken up only if it was made from the same things.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Name the parts of one work.

        Args:
            folder: Where they lie; made when the first is written.
            fingerprint: Of all that decides them, such as images, net, settings, bound, seed and versions.
        """
        self._folder, self._fingerprint = folder, fingerprint

    def find(self, number: int) -> NDArray[np.int8] | None:
        """Return a part (n, C, H, W) in levels; None if it is not there, damaged, or of another work."""
        try:
            with self._path(number).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                delta: NDArray[np.int8] = file["delta"]
                return delta if file["fingerprint"].item() == self._fingerprint else None
        except (OSError, EOFError, KeyError, TypeError, ValueError, SyntaxError, zipfile.BadZipFile):
            return None

    def add(self, number: int, delta: NDArray[np.int8]) -> None:
        """Keep a part; when this returns, it is on the disk.

        Args:
            number: Of the part, from 0.
            delta: (n, C, H, W) in levels.

        Raises:
            TargetError: it can't be written.
        """
        with writing_to(self._folder), replacing(self._path(number)) as part, part.open("wb") as stream:
            np.savez(stream, delta=delta, fingerprint=self._fingerprint)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.npz"
