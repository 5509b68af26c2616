"""Arrays from the files that researchers publish poisons in; nothing that is read can run code."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from ulecli.errors import UleError, shown
from ulecli.evaluation.poisons.pickles import NAMES, plain, read_pickle

VALUES = ("images", "data", "x", "noise", "delta", "x_train", "adv_inputs", "perturbation")
"""What the array of a poison is called where a file holds several."""

LABELS = ("labels", "y", "targets", "y_train", "fine_labels")
"""What its labels are called."""

INDICES = "indices"
"""What the numbers of the images are called where a file holds some of a training set alone."""

_NAMED = 3
"""How many of the files that are wrong a message names."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a file holds, as it was stored.

    Attributes:
        values: Images or perturbations; any layout, any real dtype. A view of the file where that can be.
        labels: (N,) int64; None where the file has none.
        indices: (N,) int64, the place of each image in the training set; None where the file has none.
    """

    values: Tensor
    labels: Tensor | None = None
    indices: Tensor | None = None


def read_arrays(path: Path) -> Arrays:
    """Read a file by its name's ending, one of `READERS`.

    Raises:
        UleError: The ending is another, it is a pipe or the like, it is damaged or holds objects, or it is
            not clear which of its arrays is the poison.
    """
    if not path.is_file():
        raise UleError(f"{shown(path)} is not a regular file; write the poison to one")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise UleError(f"{shown(path)} is no poison that can be read: {known}, or a folder of numbered PNGs")
    try:
        found = reader(path)
    except UleError:
        raise
    except Exception as error:  # damaged archives raise whatever their parser stumbles over
        if isinstance(error, pickle.UnpicklingError) or "allow_pickle" in str(error):
            raise UleError(
                f"{shown(path)} is damaged or holds Python objects, which could run code and are not loaded; "
                "write it anew as numbers alone: numpy.save('poison.npy', numpy.asarray(poison))"
            ) from error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UleError(
            f"{shown(path)} can't be read ({reason}); fetch it anew, or save it as plain numbers"
        ) from error
    return _checked(found, path)


def _checked(found: Arrays, path: Path) -> Arrays:
    values = found.values
    if values.is_complex() or values.dtype == torch.bool:
        raise UleError(f"{shown(path)} holds {_dtype(values)} values; a poison is integers or real numbers")
    if not values.numel():
        raise UleError(f"{shown(path)} is empty: its shape is {tuple(values.shape)}")
    count = len(values) if values.ndim else 0
    return Arrays(
        values,
        None if found.labels is None else _labels(found.labels, count, path),
        None if found.indices is None else _whole(found.indices, INDICES, count, path),
    )


def _labels(held: Tensor, count: int, path: Path) -> Tensor:
    """Return labels as (N,) int64, from whole numbers, a column of them, or one-hot rows."""
    if held.ndim == 2 and held.shape[1] > 1 and len(held) == count and not held.is_complex():
        if not (((held == 0) | (held == 1)).all() and (held != 0).sum(1).eq(1).all()):
            raise UleError(
                f"the labels in {shown(path)} are {_dtype(held)} {tuple(held.shape)}, but no row of them has "
                "a single 1 beside zeros; write one whole number for each image"
            )
        return held.int().argmax(1)
    return _whole(held, "labels", count, path)


def _whole(held: Tensor, what: str, count: int, path: Path) -> Tensor:
    """Return (N,) int64 from whole numbers of any dtype, or from a column of them."""
    column = held[:, 0] if held.ndim == 2 and held.shape[1] == 1 else held
    counts = not (column.is_complex() or column.dtype == torch.bool)
    if counts and column.is_floating_point():
        counts = bool((column == column.round()).all()) and bool(column.isfinite().all())
    if not counts or column.shape != (count,):
        raise UleError(
            f"the {what} in {shown(path)} are {_dtype(held)} {tuple(held.shape)}, not {count} integers"
        )
    return column.long()


def _npy(path: Path) -> Arrays:
    # Copy on write: a view of the file that torch may take for its own.
    return Arrays(_tensor(np.load(path, mmap_mode="c", allow_pickle=False), path))


def _npz(path: Path) -> Arrays:
    with path.open("rb") as file:  # numpy leaves a damaged file open that it opened itself
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UleError(f"{shown(path)} is no .npz archive; name it .npy if it is one array")
        return _chosen(archive.files, lambda name: _tensor(archive[name], path), path)


def _safetensors(path: Path) -> Arrays:
    with safe_open(path, framework="pt") as archive:
        return _chosen(list(archive.keys()), archive.get_tensor, path)


def _torch(path: Path) -> Arrays:
    # Arrays of numpy are read by what stands for them in pickles; all else is as strict as torch is.
    with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in NAMES.items()]):
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 can't be mapped into memory
            held = torch.load(path, map_location="cpu", weights_only=True)
    return _sorted_out(plain(held), path)


def _pickle(path: Path) -> Arrays:
    with path.open("rb") as file:
        is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
    # torch.save writes an archive, whatever it is called.
    return _torch(path) if is_archive else _sorted_out(read_pickle(path), path)


def _sorted_out(held: Any, path: Path) -> Arrays:
    """Return the arrays of an object that a file holds: a dict, a pair with labels, or values alone."""
    if isinstance(held, Mapping):
        tensors = {_text(name): value for name, value in held.items() if _may_be_numbers(value)}
        return _chosen(list(tensors), lambda name: _stacked(tensors[name], path), path)
    if isinstance(held, list | tuple) and len(held) == 2 and _are_labels(held[1]):
        return Arrays(_stacked(held[0], path), _stacked(held[1], path))
    return Arrays(_stacked(held, path))


def _text(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)  # Python 2 wrote CIFAR's own


def _may_be_numbers(held: object) -> bool:
    """Return whether it is an array or a list, and not one of words, as the names of CIFAR's files are."""
    if isinstance(held, list | tuple):
        return not (held and all(isinstance(one, str | bytes) for one in held))
    return isinstance(held, Tensor | np.ndarray)


_ARCHIVE = b"PK\x03\x04"
"""The first bytes of a zip archive."""

READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".pt": _torch,
    ".pth": _torch,
    ".pkl": _pickle,
    ".pickle": _pickle,
}
"""By name ending, lower case."""


def _chosen(names: list[str], get: Callable[[str], Tensor], path: Path) -> Arrays:
    """Pick values, labels and indices by name; what is alone may be called anything."""
    labels = [name for name in names if name.lower() in LABELS]
    others = [name for name in names if name not in labels and name.lower() != INDICES]
    values = [name for name in others if name.lower() in VALUES] or others
    if len(values) != 1 or len(labels) > 1:
        listed = ", ".join(sorted(names)[:8]) or "nothing"
        raise UleError(
            f"{shown(path)} holds {listed}; keep one array, called {VALUES[0]} or {VALUES[-1]}, "
            f"and {LABELS[0]} and {INDICES} if there are any"
        )
    indices = next((name for name in names if name.lower() == INDICES), None)
    return Arrays(get(values[0]), get(labels[0]) if labels else None, get(indices) if indices else None)


def _tensor(array: NDArray[Any], path: Path) -> Tensor:
    if array.dtype.kind not in "biufc":
        words = ", and its labels are the numbers of classes, from 0" if array.dtype.kind in "US" else ""
        raise UleError(
            f"{shown(path)} holds {array.dtype} values; a poison is integers or real numbers{words}"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(array))


def _are_labels(held: object) -> bool:
    if isinstance(held, Tensor):
        return held.ndim == 1 and not held.is_floating_point()
    if isinstance(held, np.ndarray):
        return held.ndim == 1 and held.dtype.kind in "iu"
    return isinstance(held, list | tuple) and all(isinstance(one, int) for one in held)


def _stacked(held: object, path: Path) -> Tensor:
    """Return a tensor or an array as a tensor, and a list of equal ones or of numbers as one."""
    if isinstance(held, Tensor) and not (held.is_nested or held.is_meta):
        held = held.dequantize() if held.is_quantized else held.detach()
        return held if held.layout == torch.strided else held.to_dense()
    if isinstance(held, np.ndarray):
        return _tensor(held, path)
    if isinstance(held, list | tuple) and held:
        if all(isinstance(one, int | float) for one in held):
            return torch.tensor(held)
        if all(isinstance(one, Tensor | np.ndarray) for one in held):
            parts = [_stacked(one, path) for one in held]
            if len({(part.shape, part.dtype) for part in parts}) == 1:
                return torch.stack(parts)
    raise UleError(
        f"{shown(path)} holds no tensor and no list of tensors of one shape; save one tensor of all"
    )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def few(names: Sequence[str]) -> str:
    """List the first few names, and count the others."""
    rest = len(names) - _NAMED
    listed = ", ".join(shown(name) for name in names[:_NAMED])
    return f"{listed} and {rest} more" if rest > 0 else listed
