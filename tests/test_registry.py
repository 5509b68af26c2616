from __future__ import annotations

import pytest

from ulecli.errors import UsageError
from ulecli.registry import Registry

FRUIT: Registry[int] = Registry("fruit", {"apple": 1, "pear": 2})


def test_entries_are_found_by_name_in_their_order() -> None:
    assert (list(FRUIT), len(FRUIT), FRUIT.find("pear")) == (["apple", "pear"], 2, 2)
    with pytest.raises(UsageError, match=r"there is no fruit 'appel'.*did you mean apple"):
        FRUIT.find("appel")


def test_a_registry_never_changes() -> None:
    with pytest.raises(
        UsageError, match=r"give EvaluateConfig the fruit itself, or a plugin that defines 'fig'"
    ):
        FRUIT["fig"] = 3
    assert "fig" not in FRUIT


def test_joining_makes_another_and_takes_no_name_twice() -> None:
    both = FRUIT.joined({"fig": 3}, "mine.py")
    assert dict(both) == {"apple": 1, "pear": 2, "fig": 3} and "fig" not in FRUIT
    with pytest.raises(UsageError, match=r"mine\.py defines the fruit 'pear'"):
        FRUIT.joined({"pear": 4}, "mine.py")
