"""Whose photo it is: what a name and the user's key decide of the perturbation.

All photos of an identity in an output are moved along one direction in the surrogate's features. Where the
search for it begins is drawn from the name and the key, so that nobody without the key can draw it
again; where it ends, the photos of the identity decide, and the ledger of the output keeps it.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Photo = TypeVar("_Photo")

NAMED = 16
"""Hexadecimal digits that a direction is named by."""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form, so that it does not matter which system it was typed on."""
    return unicodedata.normalize("NFC", name)


def seed_of(name: str, key: bytes) -> int:
    """Return the seed of a name under a key, 256 bits.

    Args:
        name: The identity.
        key: The user's secret.
    """
    message = composed(name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hmac.new(key, message, hashlib.sha256).digest(), "big")


def scheme_of(key: bytes, surrogate: str) -> str:
    """Name the key and the surrogate under which directions mean the same; it reveals nothing of the key.

    Args:
        key: The user's secret.
        surrogate: The sha256 of its weights, in hex.
    """
    return hmac.new(key, bytes(1) + b"scheme", hashlib.sha256).hexdigest()[:16] + scheme_end(surrogate)


def scheme_end(surrogate: str) -> str:
    """Return what the schemes of a surrogate end with, whatever the key.

    Args:
        surrogate: The sha256 of its weights, in hex.
    """
    return f"/{surrogate[:16]}"


def name_of(direction: NDArray[np.float32]) -> str:
    """Return the name of a direction: the first `NAMED` hexadecimal digits of its sha256."""
    return hashlib.sha256(np.ascontiguousarray(direction, "<f4").tobytes()).hexdigest()[:NAMED]


def evenly_chosen(photos: Sequence[_Photo], count: int) -> list[_Photo]:
    """Return at most `count` of a sequence of photos, evenly spread over it: not those of one day alone."""
    if len(photos) <= count:
        return list(photos)
    return [photos[place * len(photos) // count] for place in range(count)]
