from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from conftest import FullSwing, scene
from helpers.old_ledgers import as_old

from ulecli.errors import KeyFileError, LedgerError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.identity import name_of
from ulecli.protection.key import load_key
from ulecli.protection.ledger import NAME
from ulecli.protection.outcome import PhotoOutcome
from ulecli.protection.pairs import direction_under, pair_up
from ulecli.protection.run import protect

NAME_OF_ONE = "Zürich"


@pytest.fixture
def protected(tmp_path) -> tuple[Path, bytes, tuple[PhotoOutcome, ...]]:
    """Where two photos were protected, the key, and what became of them."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        scene(24, 16, seed).save(tmp_path / "in" / name)
    key = tmp_path / "key"
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", identity=NAME_OF_ONE, key_file=key)
    outcomes = protect(config, FullSwing(level=8)).outcomes
    found = load_key(key)
    assert found
    return tmp_path / "out", found.secret, outcomes


def test_pairs_have_the_direction_that_the_ledger_knows(protected, tmp_path):
    out, _, outcomes = protected
    for pair, outcome in zip(pair_up(tmp_path / "in", out), outcomes, strict=True):
        assert (pair.original, pair.protected) == (outcome.source, outcome.target)
        assert pair.direction is not None and name_of(pair.direction) == outcome.direction
    (single,) = pair_up(tmp_path / "in" / "a.png", out / "a.png")
    assert single.direction is not None and name_of(single.direction) == outcomes[0].direction


def test_without_a_ledger_no_direction_is_known(protected, tmp_path):
    out, _, _ = protected
    (out / NAME).unlink()
    assert [pair.direction for pair in pair_up(tmp_path / "in", out)] == [None, None]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_key_and_a_name_have_a_direction(protected, form):
    out, key, outcomes = protected
    name = unicodedata.normalize(form, NAME_OF_ONE)
    for place in (out, out / "a.png"):
        direction = direction_under(place, name, key, FullSwing.sha256)
        assert name_of(direction) == outcomes[0].direction
        assert np.linalg.norm(direction) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "other_key", "surrogate"),
    [("bob", False, FullSwing.sha256), (NAME_OF_ONE, True, FullSwing.sha256), (NAME_OF_ONE, False, "f" * 64)],
    ids=["another name", "another key", "another surrogate"],
)
def test_what_the_ledger_does_not_know_is_told_with_what_to_do(protected, name, other_key, surrogate):
    out, key, _ = protected
    with pytest.raises(KeyFileError, match=rf"{name}.*--identity") as error:
        direction_under(out, name, bytes(32) if other_key else key, surrogate)
    assert "\n" not in str(error.value)


def test_a_ledger_of_codes_knows_no_direction(protected):
    out, key, _ = protected
    as_old(out / NAME, 2)
    with pytest.raises(KeyFileError, match="no photos of"):
        direction_under(out, NAME_OF_ONE, key, FullSwing.sha256)


def test_without_a_ledger_it_is_told_what_to_do(protected):
    out, key, _ = protected
    (out / NAME).unlink()
    for place in (out, out / "a.png"):
        with pytest.raises(LedgerError, match=r"no ledger.*--key-file"):
            direction_under(place, NAME_OF_ONE, key, FullSwing.sha256)
    (out / NAME).write_bytes(b"x" * 5000)
    with pytest.raises(LedgerError, match="damaged"):
        direction_under(out, NAME_OF_ONE, key, FullSwing.sha256)
