"""What those who perturb photos owe to those who ask for it.

On a CPU the delta of a photo is the same, value by value, whichever photos are in its batch, as a test holds.
Another device adds up in another order for batches of another size, so the least differences of gradients
may turn the sign of a step where it is near 0: there the delta of a photo may differ between batches. What
holds on every device is the bound, and that the same direction is recognised; a test measures both where
there is a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Perturber(Protocol):
    """Makes the perturbation of photos at working resolution; safe to call from several threads at once.

    Attributes:
        grid: Side S of the square working image, in cells: of all that a direction is found from, and of each
            photo that is perturbed at most.
        samples: Number of photos of an identity that its direction is found from, where it has so many.
        device: What does the work, in words.
        label: Name and first 8 hex digits of the sha256 of the surrogate ("photo 1f3a9c02").
        sha256: All 64 digits of it.
    """

    grid: int
    samples: int
    device: str
    label: str
    sha256: str

    def direction(
        self, images: NDArray[np.float32], amplitudes: NDArray[np.float32], seed: int
    ) -> NDArray[np.float32]:
        """Find the direction in feature space along which the photos of an identity shall be moved.

        Args:
            images: (N, 3, S, S) RGB, unit scale: working images of some of its photos; N may be 0.
            amplitudes: (N, 1, S, S) how far each cell may be moved, in levels.
            seed: Draws where the search begins, and so which of many directions is found; of any size.

        Returns:
            (D,) of Euclidean norm 1.
        """
        ...

    def __call__(
        self,
        images: NDArray[np.float32],
        directions: NDArray[np.float32],
        amplitudes: NDArray[np.float32],
        aspects: NDArray[np.float32],
    ) -> NDArray[np.int8]:
        """Return delta in levels, in no cell further from 0 than the amplitude rounded to whole levels.

        Args:
            images: (N, 3, S, S) RGB, unit scale: each photo squeezed to the square working image.
            directions: (N, D) where each photo shall be moved to.
            amplitudes: (N, 1, S, S) how far each cell may be moved, in levels.
            aspects: (N,) width / height of each photo before it was squeezed.

        Returns:
            (N, 1, S, S), one luma value tied across RGB.
        """
        ...

    def recognised(
        self, images: NDArray[np.float32], directions: NDArray[np.float32], deltas: NDArray[np.int8]
    ) -> NDArray[np.bool_]:
        """Return whether the surrogate sees each photo moved along its direction once the delta is added.

        Args:
            images: (N, 3, S, S) RGB, unit scale.
            directions: (N, D) where the photos shall be moved to.
            deltas: (N, C, S, S) levels.

        Returns:
            (N,).
        """
        ...
