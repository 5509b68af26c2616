from __future__ import annotations

from ulecli.evaluation.forecast import Work
from ulecli.evaluation.outlook import Outlook, Preparation


class Heard:
    """A listener that notes what it is sent."""

    def __init__(self) -> None:
        self.left: list[float] = []
        self.prepared: list[tuple[str, int, int]] = []

    def remaining(self, seconds: float) -> None:
        self.left.append(seconds)

    def preparing(self, what: str, done: int, total: int) -> None:
        self.prepared.append((what, done, total))


TRAININGS = [Work(10, "standard"), Work(80, "at-8"), Work(10, "standard")]
PACES = {"standard": 2.0, "at-8": 2.0}


def test_everything_is_counted_from_the_start() -> None:
    listener = Heard()
    outlook = Outlook(listener)
    first = [Preparation("training a surrogate", "cifar: training", 60.0)]
    first += [Preparation("protecting", "cifar: protecting", 100.0)]
    parts = outlook.expect(first, TRAININGS, 1, PACES)
    assert parts == [("training a surrogate", 60.0), ("protecting", 100.0), ("3 trainings", 200.0)]
    outlook.prepared("cifar: training", 3, 6)
    outlook.prepared("cifar: training", 6, 6)
    outlook.prepared("cifar: protecting", 25, 100)
    assert listener.left == [30 + 100 + 200, 100 + 200, 75 + 200]
    assert listener.prepared[-1] == ("cifar: protecting", 25, 100)
    outlook.plan(TRAININGS[1:], 1)  # one was there already
    outlook.trained(0, 0.5)
    assert listener.left[-1] == 40 * 2 + 10 * 2


def test_adversarial_epochs_weigh_what_they_cost_and_jobs_share_them() -> None:
    parts = Outlook(None).expect([], TRAININGS, 2, PACES)
    assert parts == [
        ("3 trainings", 160.0)
    ]  # the longest alone takes as long as the others together, and more


def test_what_nobody_knows_is_not_guessed() -> None:
    listener = Heard()
    outlook = Outlook(listener)
    parts = outlook.expect(
        [Preparation("protecting by mine", "mine: protecting", None)], [Work(5, "probe")], 1, {}
    )
    assert parts == [("protecting by mine", None), ("1 training", None)]
    outlook.prepared("mine: protecting", 1, 2)
    assert listener.left == [] and listener.prepared == [("mine: protecting", 1, 2)]


def test_two_parts_of_one_name_come_one_after_the_other() -> None:
    listener = Heard()
    outlook = Outlook(listener)
    outlook.expect([Preparation("a", "cifar: protecting", 10.0)] * 2, [], 1, {})
    outlook.prepared("cifar: protecting", 1, 1)
    outlook.prepared("cifar: protecting", 1, 2)
    assert listener.left == [10.0, 5.0]


def test_nothing_to_do_is_nothing_to_say() -> None:
    assert Outlook(None).expect([], [], 1, {}) == []
