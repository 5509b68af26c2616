from __future__ import annotations

import pytest
from helpers.results_of import run

from ulecli.evaluation.results.scores import data_doubts, scores_of


def test_runs_of_one_exploiter_are_averaged():
    records = [
        run("clean", last=80, seed=0),
        run("clean", last=84, seed=1),
        run("x", last=30, seed=0, test_accuracies=(0, 50, 30)),
        run("x", last=34, seed=1),
        run("noise", last=70),
        run("other", last=1),
    ]
    (found,) = scores_of(records, "x", ())
    assert (found.exploiter, found.clean, found.protected, found.noise) == ("standard", 82, 32, 70)
    assert (found.peak, found.chance, found.share, found.doubts) == (42, 25, None, ())
    assert found.learned and found.judged and found.added is None
    assert [found.level(one) for one in (39.25, 39.3, 67.75, 67.8)] == [0, 1, 1, 2]


def test_the_clean_share_stands_in_place_of_guessing():
    records = [run("clean-share", last=60), run("clean", last=80), run("x", last=65)]
    (found,) = scores_of(records, "x", ())
    assert (found.share, found.added, found.judged) == (60, 20, True)
    assert [found.level(one) for one in (10, 65, 65.1, 75, 75.1)] == [0, 0, 1, 1, 2]
    (found,) = scores_of([run("clean-share", last=76), *records[1:]], "x", ())
    assert found.learned and not found.judged


def test_recalls_are_averaged_over_the_classes_that_are_asked_for():
    records = [run("clean", recalls=(90, 80, 70, 60)), run("x", recalls=(5, 3, 70, 60))]
    (found,) = scores_of(records, "x", ["disc", "ring"])
    assert (found.clean, found.protected, found.peak) == (85, 4, None)


@pytest.mark.parametrize(
    ("audit", "count"),
    [
        ({}, 0),
        ({"misplaced": 0.25, "labels_differ": 0.01}, 0),
        ({"misplaced": 0.26}, 1),
        ({"labels_differ": 0.011}, 1),
        ({"misplaced": 1.0, "labels_differ": 1.0}, 2),
    ],
)
def test_doubts_about_data(audit, count):
    assert len(data_doubts(audit)) == count
