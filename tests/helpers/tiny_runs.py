"""A preset and a data set that are trained on in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

import ulecli.evaluation.config
import ulecli.evaluation.run
from ulecli.data.datasets import Dataset
from ulecli.data.shapes import shapes
from ulecli.evaluation.exploiters.protocol import PRESETS, Preset, Protocol
from ulecli.evaluation.results.record import Arm, RunRecord

SMALL: Protocol = replace(
    PRESETS["quick"].small, epochs=2, batch_size=20, rate=0.02, settings={"widths": (8,)}, least_steps=0
)
TINY: Preset = replace(
    PRESETS["quick"],
    small=SMALL,
    photos=replace(SMALL, batch_size=4, augment=PRESETS["quick"].photos.augment),
    robust_images=10,
    attack_steps=2,
)
SHAPES = Dataset("shapes", shapes(60), shapes(30, seed=1))


@pytest.fixture
def tiny(monkeypatch, one_thread) -> None:
    """All presets are `TINY`, and shapes are `SHAPES`."""
    presets = dict.fromkeys(PRESETS, TINY)
    monkeypatch.setattr(ulecli.evaluation.config, "PRESETS", presets)
    read = ulecli.evaluation.run.open_dataset
    monkeypatch.setattr(
        ulecli.evaluation.run,
        "open_dataset",
        lambda name, *rest, **more: SHAPES if name == "shapes" else read(name, *rest, **more),
    )


class Told:
    """A listener that remembers, and may interrupt after so many trainings."""

    def __init__(self, stop_after: int = 0) -> None:
        self.plan: list[tuple[Arm, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.records: list[RunRecord] = []
        self.stop_after = stop_after
        self.expected: list[tuple[str, float | None]] = []
        self.announced: tuple[tuple[str, ...], int] = ((), 0)

    def starting(self, sets: Sequence[str], trainings: int) -> None:
        self.announced = (tuple(sets), trainings)

    def expecting(self, works: Sequence[tuple[str, float | None]]) -> None:
        self.expected = list(works)

    def remaining(self, seconds: float) -> None:
        assert seconds >= 0

    def preparing(self, what: str, done: int, total: int) -> None:
        assert 0 < done <= total

    def planned(self, arms: list[Arm], epochs: list[int]) -> None:
        self.plan = list(zip(arms, epochs, strict=True))

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        assert 0 <= accuracy <= 100
        self.epochs.append((number, epoch))

    def finished(self, number: int, record: RunRecord) -> None:
        assert self.plan[number][0] == record.arm
        self.records.append(record)
        if len(self.records) == self.stop_after:
            raise KeyboardInterrupt


def figures(records: tuple[RunRecord, ...] | list[RunRecord]) -> dict[Arm, tuple[object, ...]]:
    """What a training gave, without how long it took."""
    return {
        one.arm: (one.train_accuracies, one.test_accuracies, one.recalls, dict(one.robust)) for one in records
    }


__all__ = ["SHAPES", "SMALL", "TINY", "Told", "figures", "tiny"]
