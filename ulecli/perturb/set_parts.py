"""The perturbation of a set in parts on the disk, so that a long work that is interrupted loses one part."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ulecli.system.atomic import replacing
from ulecli.system.writing import writing_to


class SetParts:
    """Delta of consecutive batches, one file each, with the state of the generator behind each of them.

    A file appears whole or not at all, and is taken up only if it was made from the same things. The number
    of threads is not among them: what another number made differs by rounding alone, and is kept.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Name the parts of one work.

        Args:
            folder: Where they lie; made when the first is written.
            fingerprint: Of all that decides them, such as images, net, settings, bound, seed and versions.
        """
        self._folder, self._fingerprint = folder, fingerprint

    def read(self, rng: np.random.Generator) -> Iterator[NDArray[np.int8]]:
        """Yield the parts that are there, from the first to the one before the first that is not.

        What is damaged or of another work counts as not there.

        Args:
            rng: Put into the state that it had when the part which was yielded last had been made.
        """
        for number in range(len(list(self._folder.glob("*.npz"))) if self._folder.is_dir() else 0):
            try:
                with self._path(number).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                    if file["fingerprint"].item() != self._fingerprint:
                        return
                    delta, state = file["delta"], ast.literal_eval(file["state"].item())
                rng.bit_generator.state = state
            except (OSError, EOFError, KeyError, TypeError, ValueError, SyntaxError, zipfile.BadZipFile):
                return
            yield delta

    def add(self, number: int, delta: NDArray[np.int8], rng: np.random.Generator) -> None:
        """Keep a part; when this returns, it is on the disk.

        Args:
            number: Of the part, from 0.
            delta: (n, C, H, W) in levels.
            rng: In the state that the next part begins with.

        Raises:
            TargetError: it can't be written.
        """
        state = repr(rng.bit_generator.state)
        with writing_to(self._folder), replacing(self._path(number)) as part, part.open("wb") as stream:
            np.savez(stream, delta=delta, state=state, fingerprint=self._fingerprint)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.npz"
