from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from ulecli.errors import MissingExtra, UleError, UsageError
from ulecli.evaluation import scheduling
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.run import evaluate
from ulecli.evaluation.workers import LocalWorkers, workers_of

PLAIN = EvaluateConfig(dataset="shapes", defenders=("noise",), threads=4)


def test_this_machine_has_jobs_by_threads_trainings_and_memory(monkeypatch) -> None:
    monkeypatch.setattr(scheduling, "_free_memory", lambda: 10 * 2**30)
    with workers_of(PLAIN) as workers:
        assert workers == LocalWorkers(PLAIN)
        assert (workers.threads, workers.jobs(9, 0), workers.jobs(2, 0)) == (4, 4, 2)
        assert workers.jobs(9, 2**30) == 1
    assert LocalWorkers(replace(PLAIN, device="cuda")).jobs(9, 0) == 1
    with pytest.raises(UleError, match="take fewer"):
        LocalWorkers(replace(PLAIN, jobs=99)).jobs(99, 0)
    own = replace(PLAIN, exploiters=(Countermeasure("mine"),))
    assert LocalWorkers(own).jobs(9, 0) == 1  # objects can't travel


def test_ray_that_is_not_installed_is_one_line_before_any_work(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ulecli.evaluation.ray_workers", raising=False)
    monkeypatch.setattr(
        "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
    )
    with pytest.raises(MissingExtra, match=r"--workers ray needs ray: pip install '\.\[ray\]'"):
        evaluate(replace(PLAIN, workers="ray"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": "rays"}, "no kind of workers 'rays', only processes, ray; did you mean ray"),
        ({"ray_address": "auto"}, "--ray-address belongs to --workers ray"),
        ({"workers": "ray", "ray_address": "head"}, "--ray-address head: write HOST:PORT"),
        ({"workers": "ray", "exploiters": (Countermeasure("mine"),)}, "can't go to other processes"),
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(PLAIN, **changes)
