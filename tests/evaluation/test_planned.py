from __future__ import annotations

import pytest
from helpers.tiny_runs import SHAPES, tiny  # noqa: F401

from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.parts import OpenedPart, Part
from ulecli.evaluation.planned import planned
from ulecli.evaluation.set_files import write_clean
from ulecli.evaluation.training_sets import TrainingSets

pytestmark = pytest.mark.usefixtures("tiny")


def test_costs_are_weighed_by_what_a_step_takes(tmp_path) -> None:
    config = EvaluateConfig(
        exploiters=("standard", "at-8", "nfgsm-8"),
        defenders=("noise",),
        dataset="shapes",
        controls=False,
        attack_steps=7,
    )
    opened = OpenedPart(Part(config), SHAPES, TrainingSets(config, SHAPES, tmp_path))
    test = write_clean("test", SHAPES.test, tmp_path)
    works = [one.work for one in planned(opened, list(opened.builder.sets()), test)]
    assert [work.cost for work in works] == [2 * 60, 2 * 60 * 8, 2 * 60 * 2]
    assert len({work.kind for work in works}) == 3
