"""What a crafted poison can be written as."""

from __future__ import annotations

from enum import StrEnum

ARRAYS = (".npy", ".npz", ".safetensors")
"""Endings of files that hold the images as one array; everything else is a folder of PNGs."""


class Layout(StrEnum):
    """How a folder of PNGs is laid out: by numbers alone, or in a folder for each class."""

    NUMBERS = "numbers"
    CLASSES = "classes"
