from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from helpers.results_of import ENVIRONMENT, run

from ulecli.evaluation.results.record import Arm, RunRecord, run_key
from ulecli.evaluation.results.summary import Spread, Summary

ODD = {
    "rate": 0.1,
    "name": 'a "b"\n東京\u2028 \ud800',
    "nested": {"list": [1, (2, 3)], "none": None, "yes": True},
}


@pytest.mark.parametrize(
    "record",
    [
        run(),
        run("cifar", robust={"fgsm": 53.1, "pgd-20": 43.8}, recalls=(1, 2.5, 100, 0), warnings=["a", "b"]),
        run(config=ODD, audit={"psnr_db": math.inf, "mean": [math.nan, -math.inf, 1.5]}, epsilon=8),
        run(test_accuracies=np.float32([10, 20, 30.5]), train_accuracies=np.float64([1, 2, 3])),
    ],
)
def test_a_record_survives_json(record):
    text = json.dumps(record.to_json(), allow_nan=False)
    again = RunRecord.from_json(json.loads(text))
    assert again == record and again.key == record.key
    assert json.dumps(again.to_json(), allow_nan=False) == text


def test_what_is_not_finite_becomes_null():
    record = run(audit={"psnr_db": math.inf, "means": (math.nan, 1.0)})
    assert record.audit == {"psnr_db": None, "means": [None, 1.0]}


def test_what_a_record_says_of_itself():
    record = run(test_accuracies=(30.0, 60.0, 45.0))
    assert (record.last, record.peak, record.train, record.chance) == (45, 60, 99, 25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"test_accuracies": (1.0, 2.0, math.nan)},
        {"test_accuracies": (1.0, 2.0, 100.5)},
        {"train_accuracies": (-1.0, 2.0, 3.0)},
        {"recalls": (1.0, 2.0, 3.0, math.inf)},
        {"robust": {"fgsm": 101}},
        {"test_accuracies": (), "train_accuracies": ()},
        {"test_accuracies": (1.0, 2.0)},
        {"classes": ("one",)},
        {"recalls": (1.0,)},
        {"seconds": math.nan},
        {"validation_accuracies": (1.0, 2.0)},
        {"validation_accuracies": (1.0, 2.0, 101)},
    ],
)
def test_figures_that_can_not_be_are_refused(wrong):
    with pytest.raises(ValueError):
        run(**wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema is 2"),
        ({"schema": None}, "schema is None"),
        ({"arm": {}}, "missing"),
        ({"arm": 3}, "a field holds"),
        ({"test_accuracies": None}, "a field holds"),
        ({"test_accuracies": ["x", 1, 2]}, "could not convert"),
        ({"robust": [1]}, "a field holds"),
    ],
)
def test_json_of_something_else_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        RunRecord.from_json({**run().to_json(), **change})


LATER = {"n_validation", "validation_accuracies"}


@pytest.mark.parametrize("name", sorted(set(run().to_json()) - {"schema"} - LATER))
def test_a_missing_field_is_named(name):
    reported = run().to_json()
    del reported[name]
    with pytest.raises(ValueError, match=name):
        RunRecord.from_json(reported)


def test_a_record_of_an_earlier_version_has_no_validation_images():
    earlier = {name: value for name, value in run().to_json().items() if name not in LATER}
    record = RunRecord.from_json(earlier)
    assert record == run() and (record.n_validation, record.validation_accuracies) == (0, ())
    assert record.stopped is None and Summary.of([record]).stopped is None


def test_stopping_takes_the_first_epoch_that_validates_best():
    record = run(test_accuracies=(30.0, 60.0, 45.0), validation_accuracies=(70, 40, 70), n_validation=20)
    assert (record.stopped, record.peak, record.last) == (30, 60, 45)
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    other = run(seed=1, last=80, validation_accuracies=(10, 20, 30), n_validation=20)
    assert Summary.of([record, other]).stopped == Spread.of([30, 80])
    assert Summary.of([record, run(seed=1)]).stopped is None  # not every run has one


def test_the_key_tells_runs_apart_and_nothing_else_does():
    arm = Arm("shapes", "clean", "gray", "tiny", "quick", 0)
    key = run_key(arm, {"a": 1, "b": (1, 2)}, "t", "d")
    assert key == run_key(arm, {"b": [1, 2], "a": 1}, "t", "d") and len(key) == 64
    others = {
        run_key(Arm("shapes", "clean", "gray", "tiny", "quick", 1), {"a": 1, "b": (1, 2)}, "t", "d"),
        run_key(arm, {"a": 2, "b": (1, 2)}, "t", "d"),
        run_key(arm, {"a": 1, "b": (1, 2)}, "u", "d"),
        run_key(arm, {"a": 1, "b": (1, 2)}, "t", "e"),
    }
    assert len(others | {key}) == 5
    assert run(seconds=3, device="elsewhere").key == run().key


def test_entering_the_room_imports_nothing_heavy():
    code = (
        "import sys, ulecli.evaluation.results.record, ulecli.evaluation.results.tables\n"
        "print(*{'numpy', 'PIL', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert done.stdout == "\n"
