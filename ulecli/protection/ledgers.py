"""The ledgers of a run: one in each root of its output, or the one that the user names."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Self

from ulecli.errors import LedgerError, TargetError, UleError
from ulecli.formats.image_data import image_data_sha256
from ulecli.protection.ledger import NAME, Direction, Ledger, opened, reading
from ulecli.protection.outcome import Photo, PhotoOutcome
from ulecli.system import paths
from ulecli.system.fingerprint import is_unchanged


class Ledgers:
    """Opens each ledger when it is first asked for, and holds those of the output until the end."""

    def __init__(self, path: Path | None, *, dry: bool = False) -> None:
        """Make them for one run.

        Args:
            path: The one ledger to use; None for one in each root.
            dry: Open those that exist, make none and write nothing to them.
        """
        self._path = path
        self._dry = dry
        self._outputs: dict[Path, Ledger | None] = {}
        self._nearest: dict[Path, Ledger | None] = {}
        self._held: dict[Path, Ledger] = {}
        self._read: dict[Path, Ledger] = {}
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def of(self, root: Path) -> Ledger | None:
        """Return the ledger of a root of the output; None in a dry run where there is none yet.

        Raises:
            LedgerError: It is damaged, of a newer version, or in use by another run.
            TargetError: It can't be made.
        """
        with self._lock:
            if root not in self._outputs:
                path = self._path or root / NAME
                self._outputs[root] = self._opened(path) if paths.exists(path) or not self._dry else None
            return self._outputs[root]

    def _opened(self, path: Path) -> Ledger:
        if self._dry:
            return self._reader(path)
        real = Path(paths.real(path))
        if real not in self._held:
            self._held[real] = self._stack.enter_context(opened(path))
        return self._held[real]

    def _reader(self, path: Path) -> Ledger:
        real = Path(paths.real(path))
        if real in self._held:
            return self._held[real]
        if real not in self._read:
            self._read[real] = self._stack.enter_context(reading(path))
        return self._read[real]

    def wrote(self, path: Path) -> bool:
        """Return whether a file is the unchanged result of an earlier run, by a ledger that lies above it.

        Raises:
            OSError: The file can't be read.
        """
        with self._lock:
            ledger = self._above(path.absolute().parent)
        entry = ledger.by_target(path) if ledger else None
        return entry is not None and is_unchanged(path, entry.target_fingerprint)

    def wrote_image(self, photo: Photo) -> bool:
        """Return whether a photo has the very pixels of a copy that an earlier run has written.

        It is known by them wherever it was moved to and whatever was done to its metadata.

        Raises:
            OSError: The file can't be read.
        """
        with self._lock:
            open_ones = {**self._read, **self._held}
        known = [ledger for ledger in open_ones.values() if ledger.knows_images()]
        image = image_data_sha256(photo.path, photo.format) if known else None
        return image is not None and any(ledger.by_image(image) for ledger in known)

    def _above(self, folder: Path) -> Ledger | None:
        if folder not in self._nearest:
            ledger = None
            if paths.exists(folder / NAME):
                with contextlib.suppress(UleError):  # what can't be asked does not stop the run
                    ledger = self._reader(folder / NAME)
            elif folder != folder.parent:
                ledger = self._above(folder.parent)
            self._nearest[folder] = ledger
        return self._nearest[folder]

    def direction(self, name: str, scheme: str, root: Path) -> Direction | None:
        """Return the direction of an identity in a root of the output.

        What the ledger of the root does not know is taken over from the first open one that does, so that
        the root keeps to it when it is protected alone.

        Raises:
            LedgerError: A ledger can't be read or written.
        """
        own = self.of(root)
        if own and (known := own.direction(name, scheme)) is not None:
            return known
        found = (ledger.direction(name, scheme) for ledger in self._ledgers())
        direction = next((it for it in found if it is not None), None)
        if own and direction is not None and not self._dry:
            own.keep_direction(name, scheme, direction)
        return direction

    def keep_direction(self, name: str, scheme: str, direction: Direction) -> None:
        """Note in every open ledger along which direction the photos of an identity are moved."""
        if not self._dry:
            for ledger in self._ledgers():
                ledger.keep_direction(name, scheme, direction)

    def add_problem(self, outcome: PhotoOutcome, root: Path | None = None) -> None:
        """Note what could not be protected; without a root, in the first ledger."""
        ledgers = [self.of(root)] if root else self._ledgers()
        if not self._dry and ledgers and ledgers[0]:
            with contextlib.suppress(LedgerError, TargetError):  # the outcome is reported all the same
                ledgers[0].add_problem(outcome)

    def empty(self) -> bool:
        """Return whether no photo of the output is finished yet."""
        return all(ledger.empty() for ledger in self._ledgers())

    def _ledgers(self) -> list[Ledger]:
        return [ledger for ledger in dict.fromkeys(self._outputs.values()) if ledger]
