"""Directions along which the photos of identities are moved, each found when it is first asked for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ulecli.perturb.perturber import Perturber
from ulecli.protection.identity import composed, scheme_of, seed_of, spread
from ulecli.protection.ledger import Direction
from ulecli.protection.ledgers import Ledgers
from ulecli.protection.photo import Sample
from ulecli.protection.task import Task

Show = Callable[[Sequence[Task]], Iterable[Sample]]
"""Returns what the perturbation of photos would be made from, of those that can be protected."""


class Directions:
    """Finds directions and keeps them in the ledgers; threads may share it."""

    def __init__(self, perturber: Perturber, ledgers: Ledgers, key: bytes | None) -> None:
        """Begin with those that the ledgers know.

        Args:
            perturber: What finds directions.
            ledgers: Of the output.
            key: The user's secret; None where there is none yet, as in a dry run: then none is known.
        """
        self._perturber, self._ledgers, self._key = perturber, ledgers, key
        self._scheme = "" if key is None else scheme_of(key, perturber.sha256)
        self._found: dict[str, Direction] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._locking = threading.Lock()

    def known(self, identity: str) -> Direction | None:
        """Return the direction of an identity if it has one in this output."""
        name = composed(identity)
        if name not in self._found and self._key is not None:
            direction = self._ledgers.direction(name, self._scheme)
            if direction is not None:
                self._found[name] = direction
        return self._found.get(name)

    def of(self, identity: str, tasks: Sequence[Task], show: Show) -> Direction:
        """Return the direction of an identity; whoever asks first finds it, and the others wait.

        Args:
            identity: Whose photos they are.
            tasks: All of its photos in this run.
            show: Shows some of them; takes no more than the perturber wants.

        Raises:
            PhotoError: The run was given up meanwhile.
            LedgerError: It can't be kept.
        """
        name = composed(identity)
        with self._locking:
            lock = self._locks[name]
        with lock:
            direction = self.known(name)
            if direction is None:
                direction = self._found[name] = self._find(name, tasks, show)
            return direction

    def _find(self, name: str, tasks: Sequence[Task], show: Show) -> Direction:
        assert self._key is not None, "only a dry run goes without"
        samples = list(show(spread(tasks, self._perturber.samples)))
        grid = self._perturber.grid
        images = (
            np.stack([it.image for it in samples]) if samples else np.empty((0, 3, grid, grid), np.float32)
        )
        amplitudes = np.stack([it.amplitudes for it in samples]) if samples else images[:, :1]
        direction = self._perturber.direction(images, amplitudes, seed_of(name, self._key))
        if samples:  # else another run, that can read one, shall find it
            self._ledgers.keep_direction(name, self._scheme, direction)
        return direction
