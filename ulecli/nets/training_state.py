"""The state of a training in a file, from which an interrupted one goes on."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from ulecli.system.atomic import replacing
from ulecli.system.writing import NO_ROOM, writing_to

State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them."""

_RNG = "rng"
"""Where a file holds the state of the generator, in words: its whole numbers have more than 64 bits."""


def write_state(file: Path, state: State, rng: np.random.Generator, *, advice: str = NO_ROOM) -> None:
    """Write a state and that of a generator; the file holds the old content or the whole new one.

    Args:
        file: Where to.
        state: It has no entry `rng`.
        rng: What the training draws from.
        advice: What to do where it can't be written.

    Raises:
        TargetError: It can't be written.
    """
    content = io.BytesIO()  # torch's own writing of files says nothing of a full disk
    torch.save({**state, _RNG: repr(rng.bit_generator.state)}, content)
    with writing_to(file, advice), replacing(file) as part:
        part.write_bytes(content.getbuffer())


def read_state(file: Path, device: torch.device) -> State | None:
    """Return what `write_state` wrote, with the generator's state as `rng`; None if it is damaged or lacks.

    Args:
        file: Where it is.
        device: Where tensors go.
    """
    try:
        with file.open("rb") as stream:
            state: State = torch.load(stream, map_location=device, weights_only=True)
        return {**state, _RNG: ast.literal_eval(state[_RNG])}
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, SyntaxError):
        return None
    except (UnpicklingError, zipfile.BadZipFile):
        return None
