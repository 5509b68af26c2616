"""Messages between processes that hold plain data and nothing else.

A process that works on files of unknown origin may be taken over by one of them. So what it sends is never
unpickled, which would run whatever code it names, but read here: a short header in JSON, in which bytes and
arrays are named by type and shape, and their content behind it. Sizes are checked before memory is taken,
types against a list; `restored` then checks every field of a record against its annotation.

    magic, 4 bytes | length of the header, 4 | length of the content, 8 | header | content
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import os
import struct
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Message = dict[str, Any]
"""Names to None, bool, int, float, str, bytes, arrays of `DTYPES`, and lists and such dicts of them."""

DTYPES = ("uint8", "int8", "int64", "float32")

MAX_HEADER = 1 << 20
MAX_CONTENT = 256 << 20
_MAX_AXES = 4
_MAGIC = b"ule\x01"
_HEAD = struct.Struct("!4sIQ")
_BYTES = "bytes"
_BINARY = ""
"""The key of a dict that stands for bytes or an array; no other dict has it."""

_Record = TypeVar("_Record")


class BadMessage(Exception):
    """What came is no message, or not the one that was to come."""


def send(pipe: IO[bytes], message: Message) -> None:
    """Write a message.

    Raises:
        TypeError: It holds something that is not plain data.
        OSError: Nobody reads.
    """
    content: list[bytes | memoryview] = []
    header = json.dumps(_packed(message, content)).encode("ascii")
    pipe.write(_HEAD.pack(_MAGIC, len(header), sum(map(len, content))))
    pipe.write(header)
    for piece in content:
        pipe.write(piece)
    pipe.flush()


def receive(pipe: IO[bytes], *, max_content: int = MAX_CONTENT) -> Message:
    """Read a message.

    Args:
        pipe: A buffered stream.
        max_content: Bytes that bytes and arrays may take altogether.

    Raises:
        BadMessage: It is none.
        EOFError: The other side has closed the pipe.
    """
    magic, header_size, content_size = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    if magic != _MAGIC or header_size > MAX_HEADER or content_size > max_content:
        raise BadMessage("is no message, or too large")
    header, content = _exactly(pipe, header_size), _exactly(pipe, content_size)
    try:
        unpacked = _Unpacker(content)
        message = unpacked.value(json.loads(header))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(f"can't be read: {type(error).__name__}") from error
    if unpacked.place != content_size or not isinstance(message, dict):
        raise BadMessage("announces other content than it has")
    return message


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _packed(value: Any, content: list[bytes | memoryview]) -> Any:
    """Return a value as JSON can hold it, and append what it can't to the content."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        content.append(value)
        return {_BINARY: [_BYTES, [len(value)]]}
    if isinstance(value, np.ndarray) and str(value.dtype) in DTYPES:
        content.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return {_BINARY: [str(value.dtype), list(value.shape)]}
    if isinstance(value, list | tuple):
        return [_packed(item, content) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) and name != _BINARY for name in value):
        return {name: _packed(item, content) for name, item in value.items()}
    raise TypeError(f"{type(value).__name__} is no plain data")


class _Unpacker:
    """Puts bytes and arrays back where a header names them, in the order of the content."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def value(self, packed: Any) -> Any:
        if isinstance(packed, list):
            return [self.value(item) for item in packed]
        if isinstance(packed, dict):
            if _BINARY in packed:
                return self._binary(packed)
            return {name: self.value(item) for name, item in packed.items()}
        return packed

    def _binary(self, packed: dict[str, Any]) -> bytes | NDArray[Any]:
        ((kind, shape),) = packed.values()
        axes = isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)
        if not axes or len(shape) > _MAX_AXES or kind not in (_BYTES, *DTYPES):
            raise ValueError("no type or shape that is allowed")
        dtype = np.dtype("uint8" if kind == _BYTES else kind)
        end = self.place + math.prod(shape) * dtype.itemsize
        if end > len(self._content):
            raise ValueError("more content than there is")
        piece, self.place = self._content[self.place : end], end
        return piece if kind == _BYTES else np.frombuffer(piece, dtype).reshape(shape)


def plain(value: Any) -> Any:
    """Return a record (a dataclass) and all that it holds as plain data; `restored` is the way back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def restored(kind: type[_Record], value: Any) -> _Record:
    """Return the record of a class that plain data hold.

    Every field must be there, of the type of its annotation, and no other. No float is NaN. Ranges, and the
    type and shape of arrays, are for the caller to check.

    Raises:
        BadMessage: They hold something else.
    """
    return typing.cast(_Record, _restored(kind, value))


def _restored(kind: Any, value: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if (meant := getattr(origin or kind, "__value__", None)) is not None:
        # A name given by a `type` statement, as `NDArray` is since numpy 2.5.
        return _restored(meant[inner] if inner else meant, value)
    if origin in (types.UnionType, typing.Union):
        return _one_of(inner, value)
    if origin is tuple and isinstance(value, list):
        return tuple(_restored(inner[0], item) for item in value)
    if origin is dict and isinstance(value, dict):
        return {name: _restored(inner[1], item) for name, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value)
    if kind is float and type(value) in (int, float) and not math.isnan(value):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError as error:
            raise BadMessage(f"holds no {kind.__name__}") from error
    if type(value) is (origin or kind) and kind is not float:
        return value
    raise BadMessage(f"holds {type(value).__name__} in place of {kind}")


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        if kind is types.NoneType:
            if value is None:
                return None
            continue
        try:
            return _restored(kind, value)
        except BadMessage:
            continue
    raise BadMessage(f"holds {type(value).__name__} in place of one of {kinds}")


def _record(kind: type, value: Any) -> Any:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(value, dict) or set(value) != set(names):
        raise BadMessage(f"holds other fields than {kind.__name__}")
    return kind(**{name: _restored(hints[name], value[name]) for name in names})
