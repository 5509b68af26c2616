from __future__ import annotations

import os
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from ulecli.protection.identity import assign_codes, code_of

KEY, OTHER = bytes(32), bytes(range(32))


def test_codes_are_stable_across_versions():
    # Later uploads must carry the same cue: these values may never change.
    assert [code_of(name, KEY, 64) for name in ("me", "ada", "Zürich")] == [24, 14, 10]


def test_the_form_of_unicode_does_not_matter():
    for form in ("NFC", "NFD"):
        assert code_of(unicodedata.normalize(form, "Zürich"), OTHER, 1000) == code_of("Zürich", OTHER, 1000)


def test_names_and_keys_tell_codes_apart():
    names = [f"name {i}" for i in range(200)]
    assert len({code_of(name, KEY, 10**9) for name in names}) == 200
    assert [code_of(name, KEY, 64) for name in names] != [code_of(name, OTHER, 64) for name in names]


def test_a_name_that_is_no_utf8_has_a_code():
    assert 0 <= code_of(os.fsdecode(b"\xff"), KEY, 64) < 64


@given(
    st.sets(st.text(min_size=1, max_size=6), max_size=40),
    st.integers(1, 64),
    st.binary(min_size=32, max_size=32),
)
def test_identities_of_a_run_share_no_code_while_there_are_enough(names, codes, key):
    assigned = assign_codes(names, key, codes)
    distinct = {unicodedata.normalize("NFC", name) for name in names}
    assert set(assigned) == names
    assert assigned == assign_codes(sorted(names, reverse=True), key, codes)
    assert len({one.code for one in assigned.values()}) == min(len(distinct), codes)
    for name, one in assigned.items():
        assert 0 <= one.code < codes
        assert one.moved is (one.code != code_of(name, key, codes))


def test_a_single_identity_has_its_own_code():
    assert assign_codes(["ada"], KEY, 64)["ada"].code == code_of("ada", KEY, 64)


@given(names=st.sets(st.text(min_size=1), min_size=1, max_size=12), key=st.binary(min_size=32, max_size=32))
def test_a_key_keeps_to_its_family_until_it_is_full(names, key) -> None:
    assigned = assign_codes(names, key, 70, families=7)
    home = code_of("anyone", key, 70, families=7) // 10
    order = {one.code // 10 for one in assigned.values()}
    composed = {unicodedata.normalize("NFC", name) for name in names}
    expected = {home} if len(composed) <= 10 else {home, (home + 1) % 7}
    assert order == expected
    assert len({one.code for one in assigned.values()}) == len(composed)
