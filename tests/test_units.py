from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulecli import units
from ulecli.errors import ExitCode, UsageError, shown


@given(st.integers(0, units.LEVELS))
def test_levels_survive_the_round_trip(levels: int) -> None:
    assert round(units.to_unit(levels) * units.LEVELS) == levels


def test_scales_share_their_ends() -> None:
    assert units.to_unit(0) == 0
    assert units.to_unit(255) == 1


@pytest.mark.parametrize("epsilon", [1, 8, units.MAX_EPSILON])
def test_usable_epsilon_passes(epsilon: int) -> None:
    assert units.check_epsilon(epsilon) == epsilon


@pytest.mark.parametrize("epsilon", [-8, 0, units.MAX_EPSILON + 1])
def test_other_epsilon_is_a_usage_error(epsilon: int) -> None:
    with pytest.raises(
        UsageError, match=f"--eps is {epsilon}, but must be a whole number of levels, 1 to 32"
    ) as caught:
        units.check_epsilon(epsilon)
    assert caught.value.exit_code is ExitCode.USAGE


def test_what_is_typed() -> None:
    assert units.parse_epsilon("8") == 8 and units.parse_epsilon("32") == units.MAX_EPSILON
    assert units.parse_epsilon("8/255") == units.parse_epsilon(" 8 / 255 ") == 8


@pytest.mark.parametrize(
    "text",
    [
        *("7.5", "abc", "", "0", "33", "-1", "nan", "8\n9", "1" * 5000),
        *("8/256", "8/", "/255", "8/255/255", "33/255", "0.0314"),
    ],
)
def test_what_is_typed_wrongly(text: str) -> None:
    with pytest.raises(UsageError, match=r"a whole number of levels, 1 to 32; the papers use 8$") as caught:
        units.parse_epsilon(text)
    assert str(caught.value).startswith(f"--eps is {shown(text)}, but") and "\n" not in str(caught.value)


def test_a_bound_with_a_fraction_is_refused() -> None:
    with pytest.raises(UsageError, match="whole number"):
        units.check_epsilon(7.5)  # type: ignore[arg-type]
