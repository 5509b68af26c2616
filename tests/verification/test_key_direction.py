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
from ulecli.protection.run import protect
from ulecli.verification.key_direction import direction_under

IDENTITY = "Zürich"


@pytest.fixture
def protected(tmp_path) -> tuple[Path, bytes, str]:
    """Where a photo was protected, the key, and the name of its direction."""
    (tmp_path / "in").mkdir()
    scene(24, 16).save(tmp_path / "in" / "a.png")
    key = tmp_path / "key"
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", identity=IDENTITY, key_file=key)
    (outcome,) = protect(config, FullSwing(level=8)).outcomes
    found = load_key(key)
    assert found
    return tmp_path / "out", found.secret, outcome.direction


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_key_and_a_name_have_a_direction(protected, form):
    out, key, expected = protected
    name = unicodedata.normalize(form, IDENTITY)
    for place in (out, out / "a.png"):
        direction = direction_under(place, name, key, FullSwing.sha256)
        assert name_of(direction) == expected
        assert np.linalg.norm(direction) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "other_key", "surrogate"),
    [("bob", False, FullSwing.sha256), (IDENTITY, True, FullSwing.sha256), (IDENTITY, False, "f" * 64)],
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
        direction_under(out, IDENTITY, key, FullSwing.sha256)


def test_without_a_ledger_it_is_told_what_to_do(protected):
    out, key, _ = protected
    (out / NAME).unlink()
    for place in (out, out / "a.png"):
        with pytest.raises(LedgerError, match=r"no ledger.*--key-file"):
            direction_under(place, IDENTITY, key, FullSwing.sha256)
    (out / NAME).write_bytes(b"x" * 5000)
    with pytest.raises(LedgerError, match="damaged"):
        direction_under(out, IDENTITY, key, FullSwing.sha256)
