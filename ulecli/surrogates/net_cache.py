"""Surrogates that were trained for somebody's own data, kept for the next run that asks for the same.

The files may be deleted at any time. What a net has learned from photos is personal data, so only the user
can read them.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ulecli.system.file_cache import FileCache

LIMIT = 64
"""Files that are kept; the oldest make room."""


def usual_folder() -> Path:
    """Return where the nets are kept: in the user's folder for caches."""
    return platformdirs.user_cache_path("ulecli") / "surrogates"


class NetCache:
    """The weights of trained nets in one folder, which processes may share."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """Name the folder; it is made when something is put into it.

        Args:
            folder: The folder.
            limit: Files that it may hold.
        """
        self._files = FileCache(folder, ".safetensors", files=limit)

    def has(self, identity: str) -> bool:
        """Return whether there is a net."""
        return self.find(identity) is not None

    def find(self, identity: str) -> dict[str, Tensor] | None:
        """Return the weights of a net; None if they are not there or damaged.

        Args:
            identity: All that decides the net, in words.
        """
        content = self._files.find(identity)
        try:
            return None if content is None else load(content)
        except SafetensorError:
            return None

    def add(self, identity: str, net: nn.Module) -> bool:
        """Keep the weights of a net, and return whether that was possible."""
        weights = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
        return self._files.add(identity, save(weights))
