"""The user's key: 32 random bytes in a file that only its owner can read, made once and never overwritten.

Several first runs may start at the same moment, and the disk may be full: the key is written beside its name
and takes the name only when it is whole, and whoever comes second uses the key of whoever came first. An
empty file, as a full disk or a crash leaves it, holds nobody's key and is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ulecli.errors import KeyFileError, shown
from ulecli.system.atomic import part_of, sync_folder

_CAN_LOCK = os.name == "posix"

if _CAN_LOCK:
    import fcntl

KEY_BYTES = 32

_LONGEST = 4 * KEY_BYTES
"""Bytes that are read of a key file; a key has half as many hex digits, and spaces may follow."""

_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What file systems without hard links (FAT, some network disks) answer to a link."""


@dataclass(frozen=True)
class Key:
    """The secret of a user.

    Attributes:
        secret: 32 bytes; not shown when the object is printed.
        path: Where it lies.
        created: It was made just now.
        replaced_empty: It was made just now in place of an empty file.
        exposed: Other users of the machine can read it.
    """

    path: Path
    secret: bytes
    created: bool = False
    replaced_empty: bool = False
    exposed: bool = False

    def __repr__(self) -> str:
        return f"Key(path={self.path!r}, created={self.created}, exposed={self.exposed})"


def default_key_path() -> Path:
    """Return where the user's key lies unless `--key-file` names another place."""
    import platformdirs

    return platformdirs.user_config_path("ulecli") / "key"


def load_key(path: Path) -> Key | None:
    """Read a key file; None if there is none, or an empty one.

    Raises:
        KeyFileError: It can't be read or is not a key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
            mode = os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(
            f"the key {shown(path)} can't be read: {error.strerror}; name another one with --key-file"
        ) from error
    if _is_empty(text) and stat.S_ISREG(mode):
        return None
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeyFileError(
            f"{shown(path)} is not a key (it should hold {2 * KEY_BYTES} hex digits); restore it from a "
            "backup, or move it away to have a new one made: new photos will then be moved another way"
        )
    exposed = os.name == "posix" and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
    return Key(path, secret, exposed=exposed)


def load_or_create_key(path: Path) -> Key:
    """Read the key at `path`, or make one there that only its owner can read.

    Of several processes that find no key at the same time, all return the same one.

    Raises:
        KeyFileError: It can't be read or made, or is not a key.
    """
    if key := load_key(path):
        return key
    real = Path(os.path.realpath(path))
    if path.is_symlink() and not real.exists():
        raise KeyFileError(
            f"the key {shown(path)} can't be made: a link is in the way that leads to {shown(real)}, where "
            "there is nothing; remove the link or bring back what it leads to"
        )
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _written_beside(real, secret) as part:
            found_empty = real.exists()
            if not _take_free_name(part, real):
                _replace_empty(part, real)
        sync_folder(real.parent)
    except OSError as error:
        raise KeyFileError(
            f"the key {shown(path)} can't be made: {error.strerror}; name another place with --key-file"
        ) from error
    key = load_key(path)
    if key is None:
        raise KeyFileError(f"the key {shown(path)} was removed while it was made; start again")
    created = key.secret == secret
    return replace(key, created=created, replaced_empty=created and found_empty)


def _is_empty(text: bytes) -> bool:
    """Whether a file that begins so holds nothing: some file systems fill up with zeros after a crash."""
    return len(text) < _LONGEST and not text.strip(b"\0 \t\r\n")


@contextlib.contextmanager
def _written_beside(path: Path, secret: bytes) -> Iterator[Path]:
    """Lend a file beside `path` that holds the secret, is on the disk, and was never readable for others."""
    part = part_of(path)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def _take_free_name(part: Path, path: Path) -> bool:
    """Give a file a second name that is free, in one step; return whether it was.

    Where there are no hard links the name is taken by an empty file, which is then replaced as any other.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return False
    return True


def _replace_empty(part: Path, path: Path) -> None:
    """Put a file in the place of an empty one, unless another process has already done so.

    Whoever replaces the empty file holds a lock on it, so that a second process waits, and then finds that
    the name leads to another file. Windows and a few network disks have no such lock: there, of two processes
    at the very same moment, the later one's key stays.
    """
    while True:
        with path.open("rb") as file:
            _lock(file)
            try:
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
            except FileNotFoundError:
                continue
            if not _is_empty(file.read(_LONGEST)):
                return
            if _CAN_LOCK:
                part.replace(path)
                return
        part.replace(path)  # Windows replaces no open file
        return


def _lock(file: BinaryIO) -> None:
    """Wait until no other process holds the file; the lock ends when the file is closed."""
    if _CAN_LOCK:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
