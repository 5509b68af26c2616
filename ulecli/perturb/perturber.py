"""What those who perturb photos owe to those who ask for it.

On a CPU the delta of a photo is the same, value by value, whichever photos are in its batch, as a test holds.
Another device adds up in another order for batches of another size, so the least differences of gradients
may turn the sign of a step where it is near 0: there the delta of a photo may differ between batches. What
holds on every device is the bound, and that the same code is recognised in it; a test measures both where
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
        grid: Side S of the square working image, in cells.
        codes: Number K of codes, by which identities differ.
        families: Number of families of codes, K / families in a row each; the codes of one family are
            distinguished best.
        device: What does the work, in words.
        label: Name and first 8 hex digits of the sha256 of the surrogate ("photo 1f3a9c02").
        sha256: All 64 digits of it.
    """

    grid: int
    codes: int
    families: int
    device: str
    label: str
    sha256: str

    def __call__(
        self,
        images: NDArray[np.float32],
        codes: NDArray[np.int64],
        aspects: NDArray[np.float32],
        *,
        epsilon: int,
    ) -> NDArray[np.int8]:
        """Return delta in levels, within -epsilon to epsilon on every device.

        Args:
            images: (N, 3, S, S) RGB, unit scale: each photo squeezed to the square working image.
            codes: (N,) the code each photo shall carry, 0 to K-1.
            aspects: (N,) width / height of each photo before it was squeezed.
            epsilon: L-infinity bound in levels.

        Returns:
            (N, 1, S, S) where one luma value is tied across RGB, else (N, 3, S, S).
        """
        ...

    def recognised(
        self, images: NDArray[np.float32], codes: NDArray[np.int64], deltas: NDArray[np.int8]
    ) -> NDArray[np.bool_]:
        """Return whether the surrogate recognises each photo's code once the delta is added.

        Args:
            images: (N, 3, S, S) RGB, unit scale.
            codes: (N,) the codes that the photos shall carry.
            deltas: (N, C, T, T) levels; T need not be S.

        Returns:
            (N,).
        """
        ...
