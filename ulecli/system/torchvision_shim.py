"""Import torchvision even where its compiled operators can't be loaded.

The torchvision wheel of the default package index is built for CUDA. Beside a CPU build of torch its library
does not load, and the import then dies of a detail: torchvision attaches shape functions to `nms` and `qnms`,
two operators for boxes that only this library declares. Datasets, transforms and models are plain Python and
need neither, so declaring the two (without giving them a body) is enough to make these three work.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OPERATORS = ("nms", "qnms")


def import_torchvision() -> ModuleType:
    """Return torchvision, with the operators for boxes left unusable where they can't be loaded.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: Its import fails for another reason than a missing operator.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    # The plain import comes first, because a library that does load declares the operators itself, and to
    # declare them twice is an error. Nothing was registered before the failure: only modules are left behind.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("torchvision")


@cache
def _declare_operators() -> torch.library.Library:
    """Declare the operators; the cache keeps the library alive, as they vanish when it is collected."""
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in _OPERATORS:
        signature = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(signature)  # type: ignore[no-untyped-call]
    return library
