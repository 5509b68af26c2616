"""Photos of many threads perturbed in one go: what a GPU needs to be busy, and a CPU does not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from ulecli.perturb.perturber import Perturber

MAX_BATCH = 64
PATIENCE = 0.005
"""Seconds that a photo waits for another to come with it; small against what a call takes."""

_GPUS = ("cuda", "mps", "coreml", "directml")


@dataclass(frozen=True)
class _Request:
    images: NDArray[np.float32]
    directions: NDArray[np.float32]
    amplitudes: NDArray[np.float32]
    aspects: NDArray[np.float32]
    answer: Future[NDArray[np.int8]] = field(default_factory=Future)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def grid(self) -> int:
        """Side of the working images; those of small photos are smaller."""
        return int(self.images.shape[-1])


class BatchingPerturber:
    """A `Perturber` that joins the calls of several threads; one thread of its own calls the real one.

    So the photos that happen to be in a batch may have a say in the last digits of a photo's delta: see the
    contract in `ulecli.perturb.perturber`. On a CPU, where they have none, nothing is joined.

    Attributes:
        grid: As of the real one.
        samples: As of the real one.
        device: As of the real one.
        label: As of the real one.
        sha256: As of the real one.
    """

    def __init__(self, perturber: Perturber) -> None:
        self._perturber = perturber
        self.grid, self.samples = perturber.grid, perturber.samples
        self.device, self.label, self.sha256 = perturber.device, perturber.label, perturber.sha256
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="batches")
        self._thread.start()

    def direction(
        self, images: NDArray[np.float32], amplitudes: NDArray[np.float32], seed: int
    ) -> NDArray[np.float32]:
        """Return the direction of an identity; see `Perturber`. Calls are not joined."""
        return self._perturber.direction(images, amplitudes, seed)

    def __call__(
        self,
        images: NDArray[np.float32],
        directions: NDArray[np.float32],
        amplitudes: NDArray[np.float32],
        aspects: NDArray[np.float32],
    ) -> NDArray[np.int8]:
        """Return delta in levels; see `Perturber`."""
        request = _Request(images, directions, amplitudes, aspects)
        self._waiting.put(request)
        return request.answer.result()

    def recognised(
        self, images: NDArray[np.float32], directions: NDArray[np.float32], deltas: NDArray[np.int8]
    ) -> NDArray[np.bool_]:
        """Return whether each direction is recognised; see `Perturber`. Calls are not joined."""
        return self._perturber.recognised(images, directions, deltas)

    def close(self) -> None:
        """End the thread after all that was asked before has been answered."""
        self._waiting.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while request := self._waiting.get():
            batch, ended = self._collect(request)
            for grid in sorted({one.grid for one in batch}):
                self._answer([one for one in batch if one.grid == grid])
            if ended:
                return

    def _collect(self, first: _Request) -> tuple[list[_Request], bool]:
        """Return the first request with those that come right after it, and whether the end came too."""
        batch = [first]
        with contextlib.suppress(Empty):
            while sum(map(len, batch)) < MAX_BATCH:
                request = self._waiting.get(timeout=PATIENCE)
                if request is None:
                    return batch, True
                batch.append(request)
        return batch, False

    def _answer(self, batch: list[_Request]) -> None:
        try:
            deltas = self._perturber(
                np.concatenate([one.images for one in batch]),
                np.concatenate([one.directions for one in batch]),
                np.concatenate([one.amplitudes for one in batch]),
                np.concatenate([one.aspects for one in batch]),
            )
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for one in batch:  # too many for the memory perhaps; and one photo's fault is not the others'
                self._answer([one])
            return
        ends = np.cumsum([len(one) for one in batch])[:-1]
        for one, delta in zip(batch, np.split(deltas, ends), strict=True):
            one.answer.set_result(delta)


@contextlib.contextmanager
def batched(perturber: Perturber) -> Iterator[Perturber]:
    """Lend a perturber that joins the calls of threads if it works on a GPU, else the same one."""
    if not perturber.device.startswith(_GPUS):
        yield perturber
        return
    batching = BatchingPerturber(perturber)
    try:
        yield batching
    finally:
        batching.close()
