"""Protect photos from being used to train image classifiers, and prove it.

    from ulecli import protect, verify

    report = protect("~/Pictures/2024", output="protected", identity="ada")
    print(report.count("written"), "protected;", [one.reason for one in report.outcomes if one.reason])
    weakest = min(verify("~/Pictures/2024", "protected"), key=lambda found: found.psnr_db or 0)

Each name is imported when it is first used, so that `import ulecli` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ulecli.api import craft as craft
    from ulecli.api import evaluate as evaluate
    from ulecli.api import protect as protect
    from ulecli.api import reproduce as reproduce
    from ulecli.api import verify as verify
    from ulecli.crafting.methods import Poison as Poison
    from ulecli.crafting.run import CraftConfig as CraftConfig
    from ulecli.errors import UleError as UleError
    from ulecli.evaluation.config import EvaluateConfig as EvaluateConfig
    from ulecli.evaluation.exploiters.countermeasure import Countermeasure as Countermeasure
    from ulecli.evaluation.order import Defender as Defender
    from ulecli.evaluation.plugins import Plugin as Plugin
    from ulecli.evaluation.run import Evaluation as Evaluation
    from ulecli.formats.options import MetadataMode as MetadataMode
    from ulecli.nets.registry import Net as Net
    from ulecli.protection.outcome import PhotoOutcome as PhotoOutcome
    from ulecli.protection.outcome import ProtectReport as ProtectReport
    from ulecli.protection.outcome import Status as Status
    from ulecli.system.devices import Device as Device
    from ulecli.verification.pair_check import Checked as Checked

__version__ = "0.1.0"

# onnxruntime from 1.29 on keeps a number for this machine and sends reports to its maker, unless this is set
# before it is imported: so import ulecli first. Processes that are started inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Idle threads of torch spin by default, and with one busy process beside them two are slower than one. OpenMP
# reads this once, when torch is imported: so import ulecli first. Who has chosen otherwise is left alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")

_HOMES = {
    "Checked": "ulecli.verification.pair_check",
    "Countermeasure": "ulecli.evaluation.exploiters.countermeasure",
    "CraftConfig": "ulecli.crafting.run",
    "Defender": "ulecli.evaluation.order",
    "Device": "ulecli.system.devices",
    "EvaluateConfig": "ulecli.evaluation.config",
    "Evaluation": "ulecli.evaluation.run",
    "MetadataMode": "ulecli.formats.options",
    "Net": "ulecli.nets.registry",
    "PhotoOutcome": "ulecli.protection.outcome",
    "Plugin": "ulecli.evaluation.plugins",
    "Poison": "ulecli.crafting.methods",
    "ProtectReport": "ulecli.protection.outcome",
    "Status": "ulecli.protection.outcome",
    "UleError": "ulecli.errors",
    "craft": "ulecli.api",
    "evaluate": "ulecli.api",
    "protect": "ulecli.api",
    "reproduce": "ulecli.api",
    "verify": "ulecli.api",
}
"""Where the public names live; the imports above repeat them for type checkers, and a test compares."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
