from __future__ import annotations

import pytest

from ulecli.crafting.settings import BilevelSettings
from ulecli.errors import UsageError


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 0} for name in ("steps", "training_steps", "rounds", "batch_size", "step", "rate")),
        *({"stop_error": 1.0}, {"stop_error": -0.1}, {"clip": -1.0}),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        BilevelSettings(True, True, **wrong)


def test_a_round_goes_as_far_as_its_steps() -> None:
    inner = BilevelSettings(False, False, steps=20, step=0.1).inner
    assert inner.travel / inner.steps == pytest.approx(0.1)
    assert inner.momentum == 0 and inner.augment is None and inner.channels == 3
    assert BilevelSettings(True, False).inner.channels == 1


def test_the_published_code_begins_at_zero_and_steps_thrice_as_far_under_gray() -> None:
    tied, free = (BilevelSettings(gray, True).as_published() for gray in (True, False))
    assert not tied.random_start and not free.random_start
    assert (tied.step, free.step) == (pytest.approx(0.3), pytest.approx(0.1))
