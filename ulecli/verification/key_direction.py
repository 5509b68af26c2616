"""The direction that a key demands, where the user names one instead of trusting what the ledger says."""

from __future__ import annotations

from pathlib import Path

from ulecli.errors import KeyFileError, LedgerError, shown
from ulecli.protection.identity import composed, scheme_of
from ulecli.protection.ledger import NAME, Direction, reading
from ulecli.system import paths


def direction_under(protected: Path, identity: str, key: bytes, surrogate: str) -> Direction:
    """Return the direction that an identity has under a key, by the ledger of protected photos.

    Args:
        protected: A protected photo, or a folder of them.
        identity: Whose photos they are.
        key: The user's secret.
        surrogate: The sha256 of its weights, in hex.

    Raises:
        KeyFileError: The ledger knows none.
        LedgerError: There is no ledger, or it can't be read.
    """
    path = (protected if paths.is_folder(protected) else protected.parent) / NAME
    if not paths.is_file(path):
        raise LedgerError(
            f"there is no ledger {shown(path)}, which knows how photos were moved under a key; "
            "name the folder that protect wrote to, or leave out --key-file"
        )
    with reading(path) as ledger:
        direction = ledger.direction(composed(identity), scheme_of(key, surrogate))
    if direction is None:
        raise KeyFileError(
            f"no photos of {shown(identity)} were protected there under that key and with this surrogate; "
            "name the key file and the --identity that protect was given"
        )
    return direction
