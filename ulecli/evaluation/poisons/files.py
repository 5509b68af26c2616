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

VALUES = ("images", "data", "x", "noise", "delta", "perturbation")
"""What the array of a poison is called where a file holds several."""

LABELS = ("labels", "y", "targets")
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
        labels: (N,) integers; None where the file has none.
        indices: (N,) integers, the place of each image in the training set; None where the file has none.
    """

    values: Tensor
    labels: Tensor | None = None
    indices: Tensor | None = None


def read_arrays(path: Path) -> Arrays:
    """Read a file by its name's ending, one of `READERS`.

    Raises:
        UleError: The ending is another, the file is damaged or holds objects, or it is not clear which of
            its arrays is the poison.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise UleError(f"{shown(path)} is no poison that can be read: {known}, or a folder of numbered PNGs")
    try:
        found = reader(path)
    except UleError:
        raise
    except pickle.UnpicklingError as error:
        raise UleError(
            f"{shown(path)} is damaged or holds Python objects, which could run code and are not loaded; "
            "save the tensor alone, or as .npy"
        ) from error
    except Exception as error:  # damaged archives raise whatever their parser stumbles over
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
    for name, tensor in (("labels", found.labels), (INDICES, found.indices)):
        if tensor is None:
            continue
        whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        if not whole or tensor.shape != values.shape[:1]:
            raise UleError(
                f"the {name} in {shown(path)} are {_dtype(tensor)} {tuple(tensor.shape)}, "
                f"not {len(values) if values.ndim else 0} integers"
            )
    return found


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
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # the format before torch 1.6 can't be mapped into memory
        held = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(held, Mapping):
        tensors = {
            str(name): value for name, value in held.items() if isinstance(value, Tensor | list | tuple)
        }
        return _chosen(list(tensors), lambda name: _stacked(tensors[name], path), path)
    if isinstance(held, list | tuple) and len(held) == 2 and _are_labels(held[1]):
        return Arrays(_stacked(held[0], path), _stacked(held[1], path))
    return Arrays(_stacked(held, path))


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".pt": _torch,
    ".pth": _torch,
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
        raise UleError(f"{shown(path)} holds {array.dtype} values; a poison is integers or real numbers")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(array))


def _are_labels(held: object) -> bool:
    if isinstance(held, Tensor):
        return held.ndim == 1 and not held.is_floating_point()
    return isinstance(held, list | tuple) and all(isinstance(one, int) for one in held)


def _stacked(held: object, path: Path) -> Tensor:
    """Return a tensor as it is, a list of equal tensors or of integers as one."""
    if isinstance(held, Tensor):
        return held.detach()
    if isinstance(held, list | tuple) and held:
        if all(isinstance(one, int) for one in held):
            return torch.tensor(held)
        shapes = {tuple(one.shape) if isinstance(one, Tensor) else None for one in held}
        if len(shapes) == 1 and None not in shapes:
            return torch.stack([one.detach() for one in held])
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
