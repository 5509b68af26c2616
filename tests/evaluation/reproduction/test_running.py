from __future__ import annotations

from contextlib import nullcontext

import pytest
from helpers.quick_methods import quick_methods, tiny  # noqa: F401
from helpers.tiny_runs import Told

from ulecli import reproduce
from ulecli.errors import TargetError, UleError, UsageError
from ulecli.evaluation import training_sets
from ulecli.evaluation.reproduction.asked import Asked
from ulecli.evaluation.reproduction.comparison import compared, reasons, render_reproduction
from ulecli.evaluation.reproduction.expectation import expect
from ulecli.evaluation.reproduction.paper import CLEAN, GRAY_AUGS, SHARE, TABLES, ULEO
from ulecli.evaluation.reproduction.plan import plan
from ulecli.evaluation.reproduction.running import carry_out
from ulecli.evaluation.results.markup import Format

pytestmark = pytest.mark.usefixtures("quick_methods")


def asked(*tables: str, out, seeds=(0,)) -> Asked:
    return Asked(tables, out, "quick", "shapes", seeds, jobs=1, threads=1)


@pytest.mark.slow
def test_what_a_clean_share_teaches_is_trained_once_for_all_mixes(tmp_path) -> None:
    wanted = plan(asked("table4", out=tmp_path))
    assert expect(wanted, measured=False).trainings == 2 * (1 + 2 * 3)
    told: list[Told] = []

    def listening(group, number):
        told.append(Told())
        return nullcontext(told[-1])

    done = carry_out(wanted, listening)
    assert sum(len(one.records) for one in told) == 2 * (1 + 2 * 3)
    assert (expected := expect(wanted)).done == expected.trainings == 14 and expected.seconds == 0
    found = {(one.cell.row, one.cell.column): one for one in compared(TABLES["table4"], done)}
    last = {
        (training.treatment, training.exploiter, training.mix): records[0].last
        for training, records in done.records.items()
    }
    added = found["5% + 30%, gray", "ULEOs"].values[0]
    assert added == last[ULEO, "gray", (5, 30)] - last[CLEAN, "gray", (5, 30)]
    assert found["5% alone", "Clean"].values[0] == last[SHARE, "standard", (5, 30)]
    assert [one.n_train for one in done.records[found["5% alone", "Clean"].cell.training]] == [3]


def test_an_interruption_keeps_what_is_done(tmp_path) -> None:
    wanted = plan(asked("figure4", out=tmp_path))
    done = carry_out(wanted, lambda group, number: nullcontext(Told(stop_after=1)))
    assert done.interrupted and len(done.all_records) == 1
    assert (
        reasons(done)[0].startswith("not done: ") and "the run was interrupted before it" in reasons(done)[0]
    )
    written = [render_reproduction(done, form) for form in Format]
    assert all("ULEO-GrayAugs" in text for text in written) and len(set(written)) == len(Format)
    whole = carry_out(wanted)
    assert len(whole.all_records) == 3 and not reasons(whole)
    assert whole.all_records[0] == done.all_records[0]


def test_a_defender_that_fails_takes_only_its_own_cells_along(tmp_path, monkeypatch) -> None:
    defend, tries = training_sets.defend, []

    def failing(name, *rest, **more):
        if name == "noise-classwise":
            tries.append(name)
            raise UleError("the loop did not converge")
        return defend(name, *rest, **more)

    monkeypatch.setattr(training_sets, "defend", failing)
    done = carry_out(plan(asked("table2", out=tmp_path)))
    assert {training.treatment.method for training in done.failed} == {"ULEO-Augs"}
    assert len(done.all_records) == 8 and len(tries) == 1
    assert reasons(done) == [
        "failed: Table 2 ULEO-Augs/w/o Gray, Table 2 ULEO-Augs/w/ Gray: the loop did not converge"
    ]


def test_the_same_from_python(tmp_path) -> None:
    settings = {"preset": "quick", "dataset": "shapes", "device": "cpu", "jobs": 1, "threads": 1}
    done = reproduce("figure4", out=tmp_path, **settings)
    assert {training.treatment for training in done.records} == {CLEAN, ULEO, GRAY_AUGS}
    with pytest.raises(UsageError, match="no setting 'defender'"):
        reproduce("figure4", out=tmp_path, defender="uleo")


def test_a_folder_of_another_configuration_is_refused(tmp_path) -> None:
    carry_out(plan(asked("figure4", out=tmp_path)))
    other = plan(Asked(("figure4",), tmp_path, "quick", "shapes", train_images=40, jobs=1, threads=1))
    with pytest.raises(TargetError, match="train_images"):
        expect(other)
