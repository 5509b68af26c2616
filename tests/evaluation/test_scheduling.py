from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_runs import SHAPES, SMALL, tiny  # noqa: F401

from ulecli.errors import UleError
from ulecli.evaluation import scheduling, task
from ulecli.evaluation.scheduling import fitting_jobs, run
from ulecli.evaluation.set_files import TrainingSet, write_clean
from ulecli.evaluation.task import Done, Task

pytestmark = pytest.mark.usefixtures("tiny")


def tasks(folder: Path, count: int, **changes: object) -> list[Task]:
    test = write_clean("test", SHAPES.test, folder)
    names = ("standard", "gray", "at-8")
    return [
        Task(test, test, replace(SMALL, **changes), names[number % 3], 2, 10, number, "cpu")
        for number in range(count)
    ]


def results(found: list[Done]) -> dict[int, object]:
    return {one.number: one.result for one in found}


def test_processes_of_their_own_give_the_same_figures(tmp_path) -> None:
    todo = tasks(tmp_path, 3)
    reported: dict[int, list[tuple[int, int, float]]] = {1: [], 2: []}
    found = {}
    for jobs, news in reported.items():
        done = run(todo, jobs=jobs, threads=jobs, on_epoch=lambda *epoch, news=news: news.append(epoch))
        found[jobs] = results(list(done))
    assert found[1] == found[2] and sorted(found[1]) == [0, 1, 2]
    assert reported[1] == [
        (number, epoch + 1, accuracy)
        for number in range(3)
        for epoch, accuracy in enumerate(found[1][number].test_accuracies)
    ]
    assert set(reported[2]) <= set(reported[1]) and reported[2]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_steps_are_reported_from_the_first_on(jobs: int, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(task, "STEP_EVERY", 0.0)  # in this process; others keep their second
    seen: list[tuple[int, float]] = []
    list(run(tasks(tmp_path, 2), jobs=jobs, threads=jobs, on_step=lambda *step: seen.append(step)))
    steps = 2  # 30 images hold one batch of 20, twice
    if jobs == 1:
        assert seen == [(number, step / steps) for number in range(2) for step in range(1, steps + 1)]
    else:
        assert {(0, 1 / steps), (1, 1 / steps)} <= set(seen)


def test_a_process_that_dies_is_one_clear_error(tmp_path) -> None:
    def kill(*news: object) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(UleError, match=r"a training process died.*fewer --jobs"):
        list(run(tasks(tmp_path, 2, epochs=100_000), jobs=2, threads=2, on_epoch=kill))
    assert not multiprocessing.active_children()


def test_an_error_within_a_process_is_that_error(tmp_path) -> None:
    broken = [replace(task, exploiter="grey") for task in tasks(tmp_path, 2)]
    with pytest.raises(UleError, match="did you mean gray"):
        list(run(broken, jobs=2, threads=2))
    assert not multiprocessing.active_children()


def test_threads_are_given_back(tmp_path) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    list(run(tasks(tmp_path, 1), jobs=1, threads=2, on_epoch=lambda *_: seen.append(torch.get_num_threads())))
    assert seen == [2, 2] and torch.get_num_threads() == before


def test_jobs_follow_cores_tasks_and_memory(monkeypatch) -> None:
    monkeypatch.setattr(scheduling, "_free_memory", lambda: 10 * 2**30)
    assert fitting_jobs(0, tasks=9, cores=4, image_bytes=0) == 4
    assert fitting_jobs(0, tasks=3, cores=4, image_bytes=0) == 3
    assert fitting_jobs(0, tasks=0, cores=4, image_bytes=0) == 1
    assert fitting_jobs(2, tasks=9, cores=4, image_bytes=0) == 2
    assert fitting_jobs(0, tasks=9, cores=99, image_bytes=0) == 6
    assert fitting_jobs(0, tasks=9, cores=99, image_bytes=2**30) == 1
    with pytest.raises(UleError, match=r"--jobs 7 needs about 10\.5 GiB .* room for 6"):
        fitting_jobs(7, tasks=9, cores=99, image_bytes=0)


@pytest.mark.skipif("SC_AVPHYS_PAGES" not in os.sysconf_names, reason="the system has no such figures")
def test_caches_count_as_free_memory() -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0.5 * free < scheduling._free_memory() <= whole


def test_a_training_set_is_mapped_and_never_written_to(tmp_path) -> None:
    found: TrainingSet = tasks(tmp_path, 1)[0].test
    found.read().images.zero_()
    assert torch.equal(found.read().images, SHAPES.test.images)
