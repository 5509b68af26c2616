"""Where gradient steps and trainings run."""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where the gradient steps run. `auto` takes the best there is; every other value is a demand."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"
