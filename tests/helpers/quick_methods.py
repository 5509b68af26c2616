"""A reproduction that takes a moment: presets, defenders and first steps of the smallest kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.tiny_runs import SMALL, TINY, tiny

import ulecli.evaluation.config
from ulecli.evaluation import probes
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.reproduction import methods

METHODS = {
    **{"ULEOs": "noise", "ULEO-Augs": "noise-classwise", "ULEO-Grays": "cifar-linear"},
    **{"ULEO-GrayAugs": "cifar-mlp", "ULEOs of an MLP": "cifar-linear-classwise", "AdvPois": "nobody"},
}
"""Defenders that train no surrogate in the place of the paper's methods; one of them does not exist."""


@pytest.fixture
def quick_methods(tiny, monkeypatch) -> None:
    """Take `METHODS` whatever the preset, and train on as few images as there are."""
    presets = dict.fromkeys(PRESETS, replace(TINY, small=replace(SMALL, least_steps=1)))
    monkeypatch.setattr(ulecli.evaluation.config, "PRESETS", presets)
    monkeypatch.setattr(probes, "SECONDS", 0.0)
    monkeypatch.setattr(methods, "METHODS", dict.fromkeys(PRESETS, METHODS))


__all__ = ["METHODS", "quick_methods", "tiny"]
