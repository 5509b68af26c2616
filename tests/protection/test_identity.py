from __future__ import annotations

import os
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulecli.protection.identity import NAMED, composed, evenly_chosen, name_of, scheme_of, seed_of

KEY, OTHER = bytes(32), bytes(range(32))


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("me", 0xF2F1DDFBF592F09655B8D5B3266B7A42108E3FA735ED3A8EF159F59CA380B698),
        ("ada", 0xF511103A4F5F11256C03BFD575892EBB778A710229C49033EE945913499E234E),
        ("Zürich", 0xC5F5232994B7D1D134E65065EAAEF85F153C19657E12ECEFD119A8A04608E40A),
    ],
)
def test_seeds_are_stable_across_versions(name, seed):
    # What is found for the same photos must stay the same: these values may never change.
    assert seed_of(name, KEY) == seed


def test_the_form_of_unicode_does_not_matter():
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Zürich")
        assert composed(name) == "Zürich" and seed_of(name, OTHER) == seed_of("Zürich", OTHER)


def test_names_and_keys_tell_seeds_apart():
    names = [f"name {i}" for i in range(200)]
    assert len({seed_of(name, key) for name in names for key in (KEY, OTHER)}) == 400


def test_seeds_take_all_256_bits():
    seeds = [seed_of(f"name {i}", KEY) for i in range(64)]
    for bit in range(256):
        assert 0 < sum(seed >> bit & 1 for seed in seeds) < 64
    assert max(seeds) < 1 << 256


def test_a_name_that_is_no_utf8_has_a_seed():
    assert seed_of(os.fsdecode(b"\xff"), KEY) != seed_of(os.fsdecode(b"\xfe"), KEY)


def test_a_scheme_is_of_a_key_and_a_surrogate_and_shows_no_key():
    assert scheme_of(KEY, "0123456789abcdef" * 4) == "3fc9df664a1a3eae/0123456789abcdef"
    schemes = {scheme_of(key, digit * 64) for key in (KEY, OTHER) for digit in "ab"}
    assert len(schemes) == 4
    assert not any(OTHER.hex()[:16] in scheme for scheme in schemes)


def test_a_direction_is_named_by_its_values():
    direction = np.array([0.6, -0.8], np.float32)
    assert name_of(direction) == "0f2104f24e61fd6e" and len(name_of(direction)) == NAMED
    assert name_of(direction.astype(">f4")) == name_of(direction)  # whatever the order of bytes
    assert name_of(np.array([0.6, 9, -0.8, 9], np.float32)[::2]) == name_of(direction)
    assert name_of(-direction) != name_of(direction)


@given(total=st.integers(0, 300), count=st.integers(1, 40))
def test_a_spread_is_even_and_in_order(total, count):
    chosen = evenly_chosen(range(total), count)
    assert len(chosen) == min(total, count) and chosen == sorted(set(chosen))
    if total > count:
        gaps = np.diff([*chosen, total])
        assert chosen[0] == 0 and set(gaps) <= {total // count, total // count + 1}


def test_a_spread_of_a_few_is_all_of_them():
    assert (
        evenly_chosen("abc", 3) == evenly_chosen("abc", 9) == ["a", "b", "c"] and evenly_chosen("", 4) == []
    )
    assert evenly_chosen("abcdefgh", 4) == ["a", "c", "e", "g"]
