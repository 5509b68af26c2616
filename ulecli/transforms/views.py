"""What a photo goes through geometrically, as one small matrix per axis.

Cropping, shifting, flipping, resizing and Gaussian blur of an image are linear and separable: each is a
matrix on the rows and a matrix on the columns, and a chain of them is the product. So a view of an image z is
``rows @ z @ columns.T``, and its adjoint, which carries a gradient back, is ``rows.T @ g @ columns``. The
torch and the onnxruntime backend share these matrices, which makes them comparable step by step.

Coordinates are normalised: 0 is the first edge of the image and 1 the last, whatever its size in cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ulecli.errors import UsageError
from ulecli.units import LUMA

Floats = NDArray[np.float32]

_LUMA = np.array(LUMA, np.float32)


def axis_matrix(
    low: ArrayLike,
    high: ArrayLike,
    cells: int,
    samples: int,
    *,
    flip: ArrayLike | None = None,
    sigma: float = 0.0,
) -> Floats:
    """Build matrices that resample the interval [low, high] of an axis of `cells` to `samples`.

    The filter is the antialiased triangle of Pillow's BILINEAR: it widens with the scale when shrinking, and
    its weights are normalised at the edges.

    Args:
        low: (N,) start of the interval, 0 to 1.
        high: (N,) end of the interval, 0 to 1.
        cells: Length of the source axis.
        samples: Length of the target axis.
        flip: (N,) whether the result is mirrored; None for nowhere.
        sigma: Standard deviation of a Gaussian blur applied to the result, in target samples; 0 for none.

    Returns:
        (N, samples, cells) float32; every row sums to 1.
    """
    start = np.atleast_1d(np.asarray(low, np.float64)) * cells
    stride = (np.atleast_1d(np.asarray(high, np.float64)) * cells - start) / samples
    centres = start[:, None] + (np.arange(samples) + 0.5) * stride[:, None] - 0.5
    support = np.maximum(1.0, stride)[:, None, None]
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(cells) - centres[:, :, None]) / support)
    weights /= weights.sum(axis=2, keepdims=True)
    if sigma > 0:
        weights = gaussian_matrix(samples, sigma) @ weights
    if flip is not None:
        mirrored = np.atleast_1d(np.asarray(flip, bool))[:, None, None]
        weights = np.where(mirrored, weights[:, ::-1], weights)
    return np.ascontiguousarray(weights, np.float32)


def gaussian_matrix(samples: int, sigma: float) -> NDArray[np.float64]:
    """Build the (samples, samples) matrix of a Gaussian blur whose weights are normalised at the edges."""
    offsets = np.arange(samples)
    weights = np.exp(-0.5 * ((offsets[:, None] - offsets[None, :]) / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class View:
    """One way of looking at a batch of images.

    Attributes:
        rows: (N or 1, h, H) float32.
        columns: (N or 1, w, W) float32.
        quality: JPEG quality that the image is stored with before it is seen, 1 to 100; 0 for none.
        bits: Bits per channel that are left of the image before it is seen; 8 for all.
        gray: The image is seen as its luma, in as many channels as it has.
    """

    rows: Floats
    columns: Floats
    quality: int = 0
    bits: int = 8
    gray: bool = False

    def see(self, images: Floats) -> Floats:
        """Return (N, C, h, w): the images (N, C, H, W), as they are stored, through this view."""
        if self.gray and images.shape[1] == len(LUMA):
            images = np.einsum("nchw,c->nhw", images, _LUMA)[:, None].repeat(len(LUMA), 1)
        resampled: Floats = self.rows[:, None] @ images
        seen: Floats = resampled @ self.columns[:, None].swapaxes(2, 3)
        return seen

    def adjoint(self, gradients: Floats) -> Floats:
        """Return (N, C, H, W): gradients (N, C, h, w) at the seen image carried back to the image."""
        if self.gray and gradients.shape[1] == len(LUMA):
            gradients = gradients.sum(axis=1, keepdims=True) * _LUMA[:, None, None]
        spread: Floats = self.rows[:, None].swapaxes(2, 3) @ gradients
        carried: Floats = spread @ self.columns[:, None]
        return carried


@dataclass(frozen=True)
class ViewPolicy:
    """What may happen to a photo between its owner and an exploiter's net: the distribution for EOT.

    Expectation over transformation: Athalye et al., 'Synthesizing Robust Adversarial Examples' (2018).

    Attributes:
        sizes: Sides of the square image that the net sees, in pixels; one is drawn for a batch.
        area: Smallest and largest share of the photo that a random resized crop keeps. A crop that would be
            longer than the photo is cut to it, and so may keep less.
        ratio: Largest distortion of a crop's aspect; torchvision's RandomResizedCrop uses 4/3.
        shift: Largest shift in cells instead of a crop, as a padded random crop does; 0 for none.
        flip: Chance of a mirror image.
        jpeg: Chance that the image has been through JPEG before.
        quality: Smallest and largest JPEG quality.
        blur: Chance of a Gaussian blur of 0.3 to 1 seen pixels.
        posterize: Chance that the image has kept only `bits` bits per channel.
        bits: Bits per channel that posterising leaves.
        gray: Chance that an image in colour is seen in gray.

    Raises:
        UsageError: the numbers describe no distribution.
    """

    sizes: tuple[int, ...] = (64,)
    area: tuple[float, float] = (0.25, 1.0)
    ratio: float = 4 / 3
    shift: int = 0
    flip: float = 0.5
    jpeg: float = 0.0
    quality: tuple[int, int] = (30, 95)
    blur: float = 0.0
    posterize: float = 0.0
    bits: int = 2
    gray: float = 0.0

    def __post_init__(self) -> None:
        chances = (self.flip, self.jpeg, self.blur, self.posterize, self.jpeg + self.posterize, self.gray)
        if not all(0 <= chance <= 1 for chance in chances):
            raise UsageError(
                "the chances of a view must be 0 to 1, and so must those of JPEG and posterising together"
            )
        if not 0 < self.area[0] <= self.area[1] <= 1 or not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise UsageError("area must run upwards within 0 to 1, and quality within 1 to 100")
        if not self.sizes or min(self.sizes) < 1 or self.ratio < 1 or not 1 <= self.bits <= 8:
            raise UsageError("a view needs sizes of at least a pixel, a ratio of at least 1, and 1 to 8 bits")

    def draw(
        self, rng: np.random.Generator, count: int, cells: int, *, aspects: Floats | None = None
    ) -> View:
        """Draw a view for a batch of `count` images of `cells` x `cells`.

        Args:
            rng: Source of all randomness.
            count: Number N of images; each gets its own crop, all share size, blur, JPEG, bits and gray. 1
                draws one crop for all images.
            cells: Side of the square working image.
            aspects: (N,) width / height of the photos before they were squeezed to a square; None for square.
                A crop's aspect is that of the photo, not of the squeezed image.

        Returns:
            A view with N matrices for each axis.
        """
        samples = int(rng.choice(self.sizes))
        sigma = float(rng.uniform(0.3, 1.0)) if rng.random() < self.blur else 0.0
        mirrored = rng.random(count) < self.flip
        if self.shift:
            top, left = rng.integers(-self.shift, self.shift + 1, (2, count)) / cells
            rows = shift_matrix(top, cells, samples, sigma)
            columns = shift_matrix(left, cells, samples, sigma, mirrored)
        else:
            top, height, left, width = self._crop(rng, count, aspects)
            rows = axis_matrix(top, top + height, cells, samples, sigma=sigma)
            columns = axis_matrix(left, left + width, cells, samples, sigma=sigma, flip=mirrored)
        stored = rng.random()
        quality = int(rng.integers(self.quality[0], self.quality[1] + 1)) if stored < self.jpeg else 0
        few = self.jpeg <= stored < self.jpeg + self.posterize
        # Nothing is drawn for policies without it, whose sequences stay what they were.
        gray = self.gray > 0 and bool(rng.random() < self.gray)
        return View(rows, columns, quality, self.bits if few else 8, gray)

    def _crop(
        self, rng: np.random.Generator, count: int, aspects: Floats | None
    ) -> tuple[NDArray[np.float64], ...]:
        area = rng.uniform(*self.area, count)
        bound = math.log(self.ratio)
        ratio = np.exp(rng.uniform(-bound, bound, count))
        if aspects is not None:
            ratio = ratio / aspects
        width = np.minimum(1.0, np.sqrt(area * ratio))
        height = np.minimum(1.0, np.sqrt(area / ratio))
        return rng.random(count) * (1 - height), height, rng.random(count) * (1 - width), width


def shift_matrix(
    offset: NDArray[np.float64], cells: int, samples: int, sigma: float, flip: ArrayLike | None = None
) -> Floats:
    """Build matrices that shift an axis by `offset` (normalised) and repeat the cell at the edge.

    Returns:
        (N, samples, cells) float32.
    """
    positions = np.clip(offset[:, None] + (np.arange(cells) + 0.5) / cells, 0.5 / cells, 1 - 0.5 / cells)
    nearest = np.rint(positions * cells - 0.5).astype(np.int64)
    shifted = np.zeros((len(offset), cells, cells), np.float32)
    np.put_along_axis(shifted, nearest[:, :, None], 1.0, axis=2)
    resampled: Floats = axis_matrix([0.0], [1.0], cells, samples, sigma=sigma, flip=flip) @ shifted
    return resampled
