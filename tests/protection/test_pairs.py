from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from conftest import FullSwing, scene

from ulecli.protection.config import ProtectConfig
from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME
from ulecli.protection.outcome import PhotoOutcome
from ulecli.protection.pairs import pair_up
from ulecli.protection.run import protect


@pytest.fixture
def protected(tmp_path, config_home) -> tuple[Path, tuple[PhotoOutcome, ...]]:
    """Where two photos were protected, and what became of them."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        scene(24, 16, seed).save(tmp_path / "in" / name)
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out")
    return tmp_path / "out", protect(config, FullSwing(level=8)).outcomes


def test_pairs_have_the_direction_that_the_ledger_knows(protected, tmp_path):
    out, outcomes = protected
    for pair, outcome in zip(pair_up(tmp_path / "in", out), outcomes, strict=True):
        assert (pair.original, pair.protected) == (outcome.source, outcome.target)
        assert pair.direction is not None and name_of(pair.direction) == outcome.direction
    (single,) = pair_up(tmp_path / "in" / "a.png", out / "a.png")
    assert single.direction is not None and name_of(single.direction) == outcomes[0].direction


def test_without_a_ledger_no_direction_is_known(protected, tmp_path):
    out, _ = protected
    (out / NAME).unlink()
    assert [pair.direction for pair in pair_up(tmp_path / "in", out)] == [None, None]


def test_directions_of_another_surrogate_are_none(protected, tmp_path):
    out, _ = protected
    assert all(pair.direction is None for pair in pair_up(tmp_path / "in", out, "89" * 32))
    assert all(pair.direction is not None for pair in pair_up(tmp_path / "in", out, FullSwing.sha256))


def test_a_ledger_with_a_damaged_direction_still_pairs_by_names(protected, tmp_path):
    out, outcomes = protected
    with sqlite3.connect(out / NAME) as connection:
        connection.execute("UPDATE directions SET direction = x'00'")
    connection.close()
    found = pair_up(tmp_path / "in", out)
    assert [pair.protected for pair in found] == [outcome.target for outcome in outcomes]
    assert all(pair.direction is None for pair in found)
