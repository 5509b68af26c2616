"""Surrogates that were trained for somebody's own data, kept for the next run that asks for the same.

A file's name holds the digest of what decides the net and that of its content, so that a damaged file is
noticed. The files may be deleted at any time. What a net has learned from photos is personal data, so only
the user can read them.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import platformdirs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ulecli.system.atomic import replacing

LIMIT = 64
"""Files that are kept; the oldest make room."""

_DIGITS = 32


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
        self._folder, self._limit = folder, limit

    def has(self, identity: str) -> bool:
        """Return whether there is a net."""
        return self.find(identity) is not None

    def find(self, identity: str) -> dict[str, Tensor] | None:
        """Return the weights of a net; None if they are not there or damaged.

        Args:
            identity: All that decides the net, in words.
        """
        for file in self._files(identity):
            with contextlib.suppress(OSError, SafetensorError):
                content = file.read_bytes()
                if _digest(content) == file.stem.rpartition("-")[2]:
                    return load(content)
        return None

    def add(self, identity: str, net: nn.Module) -> bool:
        """Keep the weights of a net, and return whether that was possible."""
        content = save({name: value.cpu().contiguous() for name, value in net.state_dict().items()})
        file = self._folder / f"{_digest(identity.encode())}-{_digest(content)}.safetensors"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(file) as part:
                part.touch(mode=0o600)
                part.write_bytes(content)
            files = sorted(self._folder.glob("*.safetensors"), key=lambda one: one.stat().st_mtime_ns)
            for old in files[: -self._limit]:
                old.unlink()
        except OSError:
            return False
        return True

    def _files(self, identity: str) -> list[Path]:
        return sorted(self._folder.glob(f"{_digest(identity.encode())}-*.safetensors"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
