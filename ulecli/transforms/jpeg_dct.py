"""JPEG twice: the codec itself, and the same arithmetic in torch for any device.

`jpeg_dct` follows libjpeg step by step in its own fixed point (jccolor.c, jcsample.c, jfdctint.c, jcdctmgr.c,
jidctint.c, jdsample.c, jdcolor.c). Rounding where libjpeg rounds is what makes it agree: an ideal DCT ends on
the other side of a tie in a few blocks per image, and at quality 10 such a block is off by up to 60 levels.
The format: ITU-T T.81; its colours: JFIF 1.02.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ulecli.errors import UsageError
from ulecli.transforms.quantise import whole_levels
from ulecli.units import LEVELS

Bytes = NDArray[np.uint8]

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")

# The tables of T.81, annex K.1, for quality 50.
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)

# jfdctint.c's butterfly multiplied out, in units of 2**-13: sqrt(8) times the orthonormal DCT to within 1.2
# units. The inverse of jidctint.c is its transpose.
_DCT = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)

# jccolor.c and jdcolor.c, in units of 2**-16: Y, Cb, Cr from R, G, B, and what Cb, Cr add to Y for R, G, B.
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_RGB = ((0, 91881), (-22554, -46802), (116130, 0))


def jpeg_codec(images: Tensor, quality: int, *, subsampling: str = "4:2:0") -> Tensor:
    """Store images as JPEG with Pillow and read them back.

    The images are coded on as many threads as torch uses.

    Args:
        images: (N, C, H, W) floating point, unit scale; rounded to levels first. One channel stands for a
            photo without colour.
        quality: 1 to 100, as libjpeg means it.
        subsampling: Of the chroma: "4:4:4", "4:2:2" or "4:2:0".

    Returns:
        (N, C, H, W) unit scale, every value k / 255.

    Raises:
        UsageError: quality or subsampling is not one of those.
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    _check_quality(quality)
    if subsampling not in SUBSAMPLINGS:
        raise UsageError(
            f"JPEG subsampling {subsampling!r} is unknown; choose from {', '.join(SUBSAMPLINGS)}"
        )
    levels = whole_levels(images).to("cpu", torch.uint8)
    # A gray file decodes to the very luma of a colour file of the same picture, at half the cost.
    pixels: Bytes = (levels[:, 0] if levels.shape[1] == 1 else levels.movedim(1, 3)).contiguous().numpy()
    stored = np.empty_like(pixels)
    threads = max(1, min(torch.get_num_threads(), len(pixels)))
    recode = partial(_recode, quality=quality, subsampling=subsampling)
    with ThreadPoolExecutor(threads) as pool:  # Pillow releases the GIL while it codes
        shares = [slice(first, None, threads) for first in range(threads)]
        list(pool.map(recode, (pixels[share] for share in shares), (stored[share] for share in shares)))
    seen = torch.from_numpy(stored)
    seen = (seen[:, None] if seen.ndim == 3 else seen.movedim(3, 1)).to(images.device, images.dtype)
    return seen / LEVELS


def jpeg_dct(images: Tensor, quality: int) -> Tensor:
    """Do to images what storing them as JPEG 4:2:0 does, in torch on any device, without a gradient.

    In float64 the values are those of Pillow's libjpeg-turbo, bit by bit; in float32, which is used for
    anything less too, about 1 value in 100,000 is off by a level or two. (The one difference: libjpeg does
    not smooth the chroma of images under 5 pixels wide.)

    Args:
        images: (N, C, H, W) floating point, unit scale; rounded to levels first.
        quality: 1 to 100, as libjpeg means it.

    Returns:
        (N, C, H, W) unit scale, every value k / 255, of the dtype of `images`.

    Raises:
        UsageError: quality is not within 1 to 100.
        ValueError: images are not floating point (N, C, H, W) with C of 1 or 3.
    """
    luma_table, chroma_table = quantisation_tables(quality)
    levels = whole_levels(images)
    levels = levels.to(torch.promote_types(levels.dtype, torch.float32))
    # Mixed precision would run the products in 8 to 11 bits, which is not enough to count levels.
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        if images.shape[1] == 1:
            seen = _code_plane(levels, luma_table)
        else:
            seen = _code_colour(levels, luma_table, chroma_table)
    return (seen / LEVELS).to(images.dtype)


def quantisation_tables(quality: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Scale the tables of T.81 as libjpeg's jpeg_set_quality does.

    Args:
        quality: 1 to 100.

    Returns:
        Luma and chroma table, each (8, 8), 1 to 255, from low to high frequency.

    Raises:
        UsageError: quality is not within 1 to 100.
    """
    _check_quality(quality)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        np.clip((np.array(base) * percent + 50) // 100, 1, 255) for base in (_LUMA_TABLE, _CHROMA_TABLE)
    )
    return luma, chroma


def _check_quality(quality: int) -> None:
    if not 1 <= quality <= 100:
        raise UsageError(f"JPEG quality is {quality}, but must be 1 to 100")


def _recode(pixels: Bytes, stored: Bytes, *, quality: int, subsampling: str) -> None:
    """Code each of the images (N, H, W) or (N, H, W, 3) and write what is decoded into `stored`."""
    for source, target in zip(pixels, stored, strict=True):
        file = BytesIO()
        Image.fromarray(source).save(file, "JPEG", quality=quality, subsampling=subsampling)
        target[...] = np.asarray(Image.open(file))


def _code_plane(plane: Tensor, table: NDArray[np.int64]) -> Tensor:
    """Send planes (N, C, H, W) of whole levels through DCT, quantisation and inverse DCT."""
    height, width = plane.shape[2:]
    dct = _constant(_DCT, plane) / 2**13
    # Two blocks at once, because products as thin as one are slow.
    pair = _constant(np.kron(np.eye(2), _DCT), plane) / 2**13
    steps = _constant(table, plane)[:, None]  # (8, 1, 8), against blocks (..., 8, blocks, 8)
    padded = functional.pad(plane, (0, -width % 16, 0, -height % 8), mode="replicate") - 128
    strip = (padded.numel() // (8 * padded.shape[3]), 8, padded.shape[3])
    # libjpeg keeps 2 fraction bits between its passes and 3 after them; all scales are powers of two.
    across = _half_up_(padded.view(-1, 16) @ (4 * pair).mT)
    both = _half_up_((dct / 4) @ across.view(strip)).view(-1, 8, strip[2] // 8, 8)
    both.div_(8 * steps)
    kept = both.abs().add_(0.5).floor_().copysign_(both).mul_(steps)  # halves go away from zero
    down = _half_up_((4 * dct).mT @ kept.view(strip))
    decoded = _half_up_((down.view(-1, 16) @ (pair / 32)).add_(128)).clamp_(0, LEVELS)
    return decoded.view(padded.shape)[:, :, :height, :width]


def _code_colour(levels: Tensor, luma_table: NDArray[np.int64], chroma_table: NDArray[np.int64]) -> Tensor:
    """Send RGB (N, 3, H, W) of whole levels through YCbCr, with the chroma at half the size."""
    size = levels.shape[2:]
    # libjpeg rounds half up for Y, half down for Cb and Cr.
    offsets = _constant([0.5, 128.5 - 2**-16, 128.5 - 2**-16], levels)[:, None]
    ycc = _constant(_TO_YCC, levels) / 2**16 @ levels.flatten(2) + offsets
    ycc = ycc.floor().view(levels.shape)
    luma = _code_plane(ycc[:, :1], luma_table)
    chroma = _double(_code_plane(_halve(ycc[:, 1:]), chroma_table), size) - 128
    added = _constant(_TO_RGB, levels) / 2**16 @ chroma.flatten(2)
    rgb = luma + (added + 0.5).floor().view(levels.shape)
    return rgb.clamp(0, LEVELS)


def _halve(chroma: Tensor) -> Tensor:
    """Average (N, 2, H, W) over 2 x 2; to whole 16 x 2 pixels, the edge is repeated."""
    height, width = chroma.shape[2:]
    padded = functional.pad(chroma, (0, -width % 16, 0, height % 2), mode="replicate")
    means = functional.avg_pool2d(padded, 2)
    # jcsample.c's bias: a half is rounded down in even columns and up in odd ones.
    odd = torch.arange(means.shape[3], device=means.device) % 2
    return (means + (0.25 + 0.25 * odd)).floor()


def _double(chroma: Tensor, size: torch.Size) -> Tensor:
    """Enlarge (N, 2, h, w) to twice by libjpeg's "fancy upsampling", a triangle, and cut it to `size`."""
    height, width = size
    real = chroma[:, :, : (height + 1) // 2, : (width + 1) // 2]
    doubled = functional.interpolate(real, scale_factor=2, mode="bilinear", align_corners=False)
    # jdsample.c's bias: a half is rounded up in even columns and down in odd ones.
    odd = torch.arange(doubled.shape[3], device=doubled.device) % 2
    return (doubled + (0.5 - odd / 16)).floor()[:, :, :height, :width]


def _constant(values: ArrayLike, like: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=like.dtype, device=like.device)


def _half_up_(values: Tensor) -> Tensor:
    """Round to the nearest whole number in place, halves up."""
    return values.add_(0.5).floor_()
