"""Directions along which the photos of identities are moved, each found when it is first asked for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ulecli.perturb.perturber import Perturber
from ulecli.protection.identity import composed, evenly_chosen, scheme_of, seed_of
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
        self._known: dict[tuple[str, Path], Direction] = {}
        self._found: dict[str, Direction] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._locking = threading.Lock()

    def known(self, identity: str, root: Path) -> Direction | None:
        """Return the direction of an identity below a root of the output, if the ledgers know one.

        Raises:
            LedgerError: They can't be read or written.
        """
        place = composed(identity), root
        if place not in self._known and self._key is not None:
            direction = self._ledgers.direction(place[0], self._scheme, root)
            if direction is not None:
                self._known[place] = direction
        return self._known.get(place)

    def of(self, task: Task, tasks: Sequence[Task], show: Show) -> Direction:
        """Return the direction of a photo's identity; whoever asks first finds it, and the others wait.

        Args:
            task: The photo.
            tasks: All photos of its identity in this run.
            show: Shows some of them; takes no more than the perturber wants.

        Raises:
            PhotoError: The run was given up meanwhile.
            LedgerError: It can't be kept.
        """
        name = composed(task.identity)
        with self._locking:
            lock = self._locks[name]
        with lock:
            direction = self.known(name, task.root)
            if direction is not None:
                return direction
            if name not in self._found:
                self._found[name] = self._find(name, tasks, show)
            return self._found[name]

    def _find(self, name: str, tasks: Sequence[Task], show: Show) -> Direction:
        assert self._key is not None, "only a dry run goes without"
        samples = self._samples(tasks, show)
        grid = self._perturber.grid
        images = (
            np.stack([it.image for it in samples]) if samples else np.empty((0, 3, grid, grid), np.float32)
        )
        amplitudes = np.stack([it.amplitudes for it in samples]) if samples else images[:, :1]
        direction = self._perturber.direction(images, amplitudes, seed_of(name, self._key))
        if samples:  # else another run, that can read one, shall find it
            self._ledgers.keep_direction(name, self._scheme, direction)
        return direction

    def _samples(self, tasks: Sequence[Task], show: Show) -> list[Sample]:
        """Have some photos shown, spread over all; others in their place only where none of them can be."""
        samples: list[Sample] = []
        while tasks and not samples:
            chosen = evenly_chosen(tasks, self._perturber.samples)
            samples = list(show(chosen))
            seen = set(chosen)
            tasks = [task for task in tasks if task not in seen]
        return samples
