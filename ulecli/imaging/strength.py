"""How strong a perturbation is: how visible it may be. Standard library only: the CLI imports this."""

from __future__ import annotations

from enum import StrEnum


class Strength(StrEnum):
    """How visible a perturbation may be, faint first."""

    SUBTLE = "subtle"
    DEFAULT = "default"
    STRONG = "strong"
