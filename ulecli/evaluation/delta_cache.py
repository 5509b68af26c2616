"""What surrogates added to whole data sets, kept for the next evaluation that asks for the same.

Only differences are kept, which weigh a fraction of the images. The files may be deleted at any time. They
tell something of the images they are for, so only the user can read them.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from ulecli.system.file_cache import FileCache

LIMIT = 512 * 2**20
"""Bytes that are kept; the oldest make room. The delta of CIFAR-10 takes about 20 MB, in RGB thrice that."""

_LEVEL = 1
"""Of zlib: two thirds go in a second, and little more in many."""


def usual_folder() -> Path:
    """Return where they are kept: in the user's folder for caches."""
    return platformdirs.user_cache_path("ulecli") / "deltas"


class DeltaCache:
    """Delta of sets of images in one folder, which processes may share."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """Name the folder; it is made when something is put into it.

        Args:
            folder: The folder.
            limit: Bytes that it may take.
        """
        self._files = FileCache(folder, ".delta", size=limit)

    def has(self, identity: str) -> bool:
        """Return whether a delta is there and whole."""
        return self._files.find(identity) is not None

    def find(self, identity: str) -> Tensor | None:
        """Return a delta, (N, C, H, W) int16 in levels; None if it is not there or damaged.

        Args:
            identity: All that decides it, such as `ulecli.perturb.sets.delta_identity` returns.
        """
        content = self._files.find(identity)
        if content is None:
            return None
        try:
            levels = np.load(io.BytesIO(zlib.decompress(content)), allow_pickle=False)
            return torch.from_numpy(levels).to(torch.int16)
        except (EOFError, TypeError, ValueError, zlib.error):
            return None

    def add(self, identity: str, delta: Tensor) -> bool:
        """Keep a delta, (N, C, H, W) within int8, and return whether that was possible."""
        stream = io.BytesIO()
        np.save(stream, delta.to(torch.int8).numpy())
        return self._files.add(identity, zlib.compress(stream.getbuffer(), _LEVEL))
