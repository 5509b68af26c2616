from __future__ import annotations

import pytest

from ulecli.evaluation.forecast import ENOUGH, Forecast, Work


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_said_before_enough_is_measured() -> None:
    clock = Clock()
    forecast = Forecast([Work(10, "a")] * 3, 1, clock)
    assert forecast.remaining() is None
    forecast.step(0, 0.1)
    clock.now += 1000  # whatever passed before the first step ended does not count
    forecast = Forecast([Work(10, "a")] * 3, 1, clock)
    forecast.step(0, 0.1)
    assert forecast.remaining() is None
    clock.now += ENOUGH / 2
    forecast.step(0, 0.15)
    assert forecast.remaining() is None
    clock.now += ENOUGH / 2
    forecast.step(0, 0.2)
    assert forecast.remaining() == pytest.approx((0.8 + 2) * ENOUGH / 0.1)


def test_epochs_count_as_what_they_cost() -> None:
    """Adversarial training with 7 steps takes eight times as long: its pace is that of the standard one."""
    clock = Clock()
    forecast = Forecast([Work(10, "standard"), Work(80, "at-8")], 1, clock)
    forecast.step(0, 0.0)
    clock.now += 5
    forecast.step(0, 0.5)
    assert forecast.remaining() == pytest.approx(5 + 80)
    clock.now += 5
    forecast.finished(0)
    forecast.step(1, 0.0)
    clock.now += 20
    forecast.step(1, 0.1)  # half as fast as expected, which is known now
    assert forecast.remaining() == pytest.approx(0.9 * 200)


def test_kinds_have_a_pace_of_their_own() -> None:
    clock = Clock()
    forecast = Forecast([Work(1, "small"), Work(1, "large"), Work(1, "small"), Work(1, "large")], 1, clock)
    for number, seconds in enumerate((10, 100)):
        forecast.step(number, 0.0)
        clock.now += seconds
        forecast.finished(number)
    assert forecast.remaining() == pytest.approx(110)


def test_what_was_measured_beforehand_holds_until_more_is_known() -> None:
    clock = Clock()
    works = [Work(10, "standard"), Work(80, "at-8")]
    forecast = Forecast(works, 1, clock, paces={"standard": 3.0, "at-8": 2.0})
    assert forecast.remaining() == 30 + 160
    forecast.step(0, 0.0)
    clock.now += 5
    forecast.step(0, 0.5)
    assert forecast.remaining() == pytest.approx(5 + 160)
    assert Forecast(works, 1, clock, paces={"standard": 3.0}).remaining() is None


def test_jobs_share_what_is_left() -> None:
    clock = Clock()
    forecast = Forecast([Work(10, "a")] * 5, 2, clock)
    for number in (0, 1):
        forecast.step(number, 0.0)
    clock.now += 10
    for number in (0, 1):
        forecast.step(number, 0.5)
    assert forecast.remaining() == pytest.approx(10 + 20 + 20)  # 2 in work, then 2, then the last alone
    clock.now += 10
    for number in (0, 1):
        forecast.finished(number)
    assert forecast.remaining() == pytest.approx(40)


def test_nothing_is_left_at_the_end() -> None:
    clock = Clock()
    forecast = Forecast([Work(1, "a"), Work(3, "a")], 4, clock)
    for number in (0, 1):
        forecast.step(number, 0.25)
    clock.now += 6
    forecast.finished(0)
    assert forecast.remaining() == pytest.approx(0.75 * 3 * 6 / 0.75)
    forecast.finished(1)
    assert forecast.remaining() == 0
