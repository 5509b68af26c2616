"""What happens to a photo before a net sees it: batched, differentiable, on any device.

Images are (N, C, H, W) with C of 1 (luma) or 3 (RGB), floating point on the unit scale. Nothing here draws
random numbers: a caller draws the parameters (`ulecli.views.ViewPolicy`) and passes them in.
"""

from __future__ import annotations

from ulecli.transforms.geometry import Axes, axes_of, blur, crop_resize, flip, resize, see, shift
from ulecli.transforms.gray import gray, gray_levels
from ulecli.transforms.jpeg import jpeg_codec, jpeg_dct, quantisation_tables
from ulecli.transforms.quantise import (
    posterize,
    posterize_levels,
    round_levels,
    straight_through,
    whole_levels,
)

__all__ = [
    "Axes",
    "axes_of",
    "blur",
    "crop_resize",
    "flip",
    "gray",
    "gray_levels",
    "jpeg_codec",
    "jpeg_dct",
    "posterize",
    "posterize_levels",
    "quantisation_tables",
    "resize",
    "round_levels",
    "see",
    "shift",
    "straight_through",
    "whole_levels",
]
