"""Whose photo it is: the user's key and the code that a name becomes under it.

All photos of an identity that is protected alone carry the same code, today's and next year's, because that
code depends on the name and the key and nothing else. Identities protected into one output get different
codes; one whose own code is taken moves on, and the output's ledger remembers where to. Two keys rarely
agree: with 70 codes, two users share one with a chance of 1 in 70.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ulecli.errors import KeyFileError, shown
from ulecli.protection.outcome import IdentityCode

KEY_BYTES = 32


@dataclass(frozen=True)
class Key:
    """The secret of a user.

    Attributes:
        secret: 32 bytes; not shown when the object is printed.
        path: Where it lies.
        created: It was made just now.
        exposed: Other users of the machine can read it.
    """

    path: Path
    secret: bytes
    created: bool = False
    exposed: bool = False

    def __repr__(self) -> str:
        return f"Key(path={self.path!r}, created={self.created}, exposed={self.exposed})"


def default_key_path() -> Path:
    """Return where the user's key lies unless `--key-file` names another place."""
    import platformdirs

    return platformdirs.user_config_path("ulecli") / "key"


def load_key(path: Path) -> Key | None:
    """Read a key file; None if there is none.

    Raises:
        KeyFileError: It can't be read or is not a key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(4 * KEY_BYTES)
            mode = os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"the key {shown(path)} can't be read: {error.strerror}") from error
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeyFileError(
            f"{shown(path)} is not a key (it should hold {2 * KEY_BYTES} hex digits); restore it from a "
            "backup, or move it away to have a new one made: new photos will then carry other codes"
        )
    exposed = os.name == "posix" and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
    return Key(path, secret, exposed=exposed)


def load_or_create_key(path: Path) -> Key:
    """Read the key at `path`, or make one there that only its owner can read.

    Raises:
        KeyFileError: It can't be read or made, or is not a key.
    """
    if key := load_key(path):
        return key
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode is there from the first moment, and whoever else makes a key now wins or loses, never both.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        if key := load_key(path):
            return key
        raise KeyFileError(f"the key {shown(path)} can't be made: a link is in the way") from error
    except OSError as error:
        raise KeyFileError(
            f"the key {shown(path)} can't be made: {error.strerror}; name another place with --key-file"
        ) from error
    return Key(path, secret, created=True)


def code_of(name: str, key: bytes, codes: int, families: int = 1) -> int:
    """Return the code, 0 to codes - 1, that `name` has under `key`.

    The key alone chooses the family, because a surrogate tells the codes of one family best apart; the name
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
    """Name the key and the division under which codes mean the same; it tells nothing of the key."""
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
