"""How much of each frequency of a delta JPEG leaves, as weights of the frequencies of its gradient.

JPEG rounds the DCT of 8x8 blocks to multiples of a step for each frequency. Of one whose step is far more
than a delta within the bound could change it by, next to nothing comes through, though a gradient that passes
the rounding straight asks for it as for any other. Weighed so, a delta is made of what stays.
"""

from __future__ import annotations

import math

import numpy as np

from ulecli.errors import UsageError
from ulecli.transforms.views import Floats
from ulecli.units import DEFAULT_EPSILON

BLOCK = 8
"""Side of JPEG's blocks."""


def block_dct(cells: int) -> Floats:
    """Return the orthonormal DCT of the blocks of an axis, D of (cells, cells), for D @ image @ D.T.

    Args:
        cells: Length of the axis.

    Raises:
        UsageError: The axis is not made of whole blocks.
    """
    if cells % BLOCK:
        raise UsageError(f"JPEG's frequencies need images of whole blocks of {BLOCK} cells, not of {cells}")
    place = np.arange(BLOCK)
    basis = np.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    basis[0] = math.sqrt(1 / BLOCK)
    return np.kron(np.eye(cells // BLOCK), basis).astype(np.float32)


def jpeg_weights(cells: int, quality: int) -> Floats:
    """Return a weight for each frequency of each block, (cells, cells), as `block_dct` places them.

    A weight is how far a delta of `DEFAULT_EPSILON` levels can move that frequency, in steps of the luma of a
    JPEG: at most 1.

    Args:
        cells: Side of the square image.
        quality: Of the JPEG, 1 to 100.

    Raises:
        UsageError: The quality is out of range, or the image is not made of whole blocks.
    """
    from ulecli.transforms.jpeg_dct import quantisation_tables  # which needs torch, and few settings need it

    reach = np.abs(block_dct(BLOCK)).sum(axis=1)
    steps, _ = quantisation_tables(quality)
    weights = np.minimum(1, DEFAULT_EPSILON * np.outer(reach, reach) / steps)
    return np.tile(weights, (cells // BLOCK, cells // BLOCK)).astype(np.float32)
