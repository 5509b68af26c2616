"""Whose photo it is: the code that a name becomes under the user's key.

All photos of an identity that is protected alone carry the same code, today's and next year's, because that
code depends on the name and the key and nothing else. Identities protected into one output get different
codes; one whose own code is taken moves on, and the output's ledger remembers where to. Two keys rarely
agree: with 70 codes, two users share one with a chance of 1 in 70.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from ulecli.protection.outcome import IdentityCode


def code_of(name: str, key: bytes, codes: int, families: int = 1) -> int:
    """Return the code, 0 to codes - 1, that `name` has under `key`.

    The key alone chooses the family, because a surrogate distinguishes the codes of one family best; the name
    chooses the code in it. The name is compared in Unicode's composed form, so that it does not matter which
    system it was typed on.

    Args:
        name: The identity.
        key: The user's secret.
        codes: Number K of codes.
        families: Number of families that the codes fall into, `codes / families` in a row each.
    """
    size = codes // families
    return _home(key, families) * size + next(_sequence(name, key, size))


def scheme_of(key: bytes, codes: int, families: int) -> str:
    """Name the key and the division under which codes mean the same; it reveals nothing of the key."""
    return f"{hmac.new(key, bytes(1) + b'scheme', hashlib.sha256).hexdigest()[:16]}/{codes}/{families}"


def assign_codes(
    names: Iterable[str],
    key: bytes,
    codes: int,
    families: int = 1,
    kept: Mapping[str, int] | None = None,
) -> dict[str, IdentityCode]:
    """Give each name of a run a code; no two share one while there are codes enough.

    Who comes first depends on the key and not on the spelling. A name whose code is taken moves on along a
    sequence of its own. When the key's own family is full, the next one is filled, and so on; with more names
    than codes every code is used before one is used twice.

    Args:
        names: The identities; those that are the same in composed form are one.
        key: The user's secret.
        codes: Number K of codes.
        families: Number of families that the codes fall into.
        kept: Codes that identities already carry, whether they are among the names or not.

    Returns:
        The code of every name.
    """
    names = sorted(set(names))
    assigned = {_composed(name): code for name, code in (kept or {}).items() if 0 <= code < codes}
    new = {_composed(name) for name in names} - set(assigned)
    taken = set(assigned.values())
    size, home = codes // families, _home(key, families)
    for name in sorted(new, key=lambda name: _digest(name, key, 0)):
        if len(taken) == codes:
            taken.clear()
        starts = [(home + step) % families * size for step in range(families)]
        first = next(start for start in starts if not taken.issuperset(range(start, start + size)))
        code = next(first + step for step in _sequence(name, key, size) if first + step not in taken)
        taken.add(code)
        assigned[name] = code
    return {name: _carried(name, assigned[_composed(name)], key, codes, families) for name in names}


def _carried(name: str, code: int, key: bytes, codes: int, families: int) -> IdentityCode:
    return IdentityCode(name, code, moved=code != code_of(name, key, codes, families))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _home(key: bytes, families: int) -> int:
    return int.from_bytes(hmac.new(key, b"\0family", hashlib.sha256).digest(), "big") % families


def _sequence(name: str, key: bytes, codes: int) -> Iterator[int]:
    counter = 0
    while True:
        # 256 bits modulo a small K: the bias is far below anything that could be seen.
        yield int.from_bytes(_digest(_composed(name), key, counter), "big") % codes
        counter += 1


def _digest(name: str, key: bytes, counter: int) -> bytes:
    message = name.encode("utf-8", "surrogateescape")
    if counter:
        message += b"\0" + str(counter).encode("ascii")
    return hmac.new(key, message, hashlib.sha256).digest()
