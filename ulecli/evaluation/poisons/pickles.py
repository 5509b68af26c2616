"""Arrays from pickles, by a reader that knows numpy's arrays alone: no code of the file or of numpy's runs.

Whatever a pickle names is looked up here. The few names that numpy writes stand for classes and functions of
this module that take plain numbers, strings and bytes; every other name is refused.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS = re.compile(r"b1|[iu][1248]|f(2|4|8|12|16)|c(8|16)")
"""The dtypes that are read: booleans, integers, real and complex numbers."""


class PickledType:
    """What a pickle says of a dtype.

    Args:
        code: Kind and size in bytes, as "f4".
        align: Of no meaning for numbers.
        copy: Likewise.

    Raises:
        UnpicklingError: It is none of numbers.
    """

    def __init__(self, code: str, align: object = False, copy: object = False) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise pickle.UnpicklingError(f"values of type {code!r:.40}")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order, which is the second of the state; the others belong to no number."""
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"a byte order {order!r:.40}")
        self._order = order

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of numpy."""
        return np.dtype(self._order + self._code)


class PickledArray:
    """What a pickle says of an array; its numbers follow as the state.

    Attributes:
        array: The numbers; empty before the state came.
    """

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take (version, shape, dtype, column order, bytes); the version may be left out."""
        shape, kind, fortran, data = state[-4:]
        self.array = _array(data, kind, shape, "F" if fortran else "C")


def _array(data: object, kind: object, shape: object, order: object) -> NDArray[Any]:
    """Return an array of a dtype, a shape and an order from its bytes."""
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin-1")
    if not isinstance(data, bytes | bytearray | memoryview) or not isinstance(kind, PickledType):
        raise pickle.UnpicklingError("an array of other things than numbers")
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape!r:.40}")
    values = np.frombuffer(data, kind.dtype).copy()  # which torch may write to
    return values.reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(data: object, kind: object, shape: object, order: object) -> PickledArray:
    """Return an array of protocol 5."""
    found = PickledArray()
    found.array = _array(data, kind, shape, order)
    return found


def _scalar(kind: object, data: object) -> object:
    """Return a single number."""
    return _array(data, kind, (1,), "C")[0].item()


def _bytes(text: object, encoding: object) -> bytes:
    """Return bytes as protocols up to 2 write them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """Return none, which protocols up to 2 write as a call."""
    return b""


_CORES = ("numpy.core", "numpy._core")

NAMES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "numpy.dtype": PickledType,
        "numpy.ndarray": PickledArray,
        "_codecs.encode": _bytes,
        "__builtin__.bytes": _no_bytes,
        **{f"{core}.multiarray._reconstruct": PickledArray for core in _CORES},
        **{f"{core}.multiarray.scalar": _scalar for core in _CORES},
        **{f"{core}.numeric._frombuffer": _from_buffer for core in _CORES},
    }
)
"""What a pickle may name, with the module, and what stands for it here."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = NAMES.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no numpy array")
        return found


def read_pickle(path: Path) -> Any:
    """Read a pickle of arrays, or of lists, tuples and dicts of them, numbers and strings.

    Raises:
        UnpicklingError: It is damaged or names anything else; nothing of it has run.
    """
    with path.open("rb") as file:
        return plain(_Reader(file, encoding="latin1").load())


def plain(held: Any) -> Any:
    """Return what was read with the arrays in place of what stands for them."""
    if isinstance(held, PickledArray):
        return held.array
    if isinstance(held, Mapping):
        return {name: plain(value) for name, value in held.items()}
    if isinstance(held, list | tuple):
        return [plain(value) for value in held]
    return held
