"""Lists of files for `--files-from`, as the tools of Linux, macOS and Windows write them."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ulecli.errors import NoSuchPath, UsageError, shown

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_file_list(source: str, *, null: bool) -> tuple[Path, ...]:
    """Read a list of files.

    Names are UTF-8, or whatever bytes the names of files are made of here; with a byte order mark UTF-16 too,
    which PowerShell writes. Where no file has the name as it stands in its line, what Windows adds to names
    is taken off: a carriage return, spaces at the end, quotation marks, backslashes for slashes.

    Args:
        source: A file, or "-" for stdin.
        null: Names end in NUL instead of a newline, and are taken as they stand.

    Raises:
        NoSuchPath: There is no such file.
        UsageError: It can't be read, or lists nothing.
    """
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except FileNotFoundError:
        raise NoSuchPath(f"--files-from {shown(source)} does not exist") from None
    except OSError as error:
        raise UsageError(f"--files-from {shown(source)} can't be read: {error.strerror}") from error
    try:
        text = _text(content)
    except UnicodeError:
        raise UsageError(
            f"--files-from {shown(source)} is no text that can be read; save the list as UTF-8"
        ) from None
    if null:
        names = [name for name in text.split("\0") if name]
    elif "\0" in text:
        raise UsageError(
            f"--files-from {shown(source)} holds NUL characters: if each name ends in one, add -0; if the "
            "list is UTF-16 without a byte order mark, save it as UTF-8"
        )
    else:
        names = [name for line in _lines(text) if (name := _as_meant(line))]
    if not names:
        raise UsageError(f"--files-from {shown(source)} lists no file")
    return tuple(map(Path, names))


def _text(content: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    return os.fsdecode(content.removeprefix(codecs.BOM_UTF8))


def _lines(text: str) -> list[str]:
    """Return the lines; a carriage return alone ends them only in a list that has no newline."""
    if "\n" in text or os.path.lexists(text):
        return text.split("\n")
    return text.split("\r")


def _as_meant(line: str) -> str:
    """Return the name that a line means: the first of its readings that is there, or the most likely."""
    readings = list(_readings(line))
    there = (name for name in readings if name and os.path.lexists(name))
    return next(there, readings[2])


def _readings(line: str) -> Iterator[str]:
    """Yield a line as it stands and with more and more taken off that may not belong to the name."""
    yield line
    yield (name := line.removesuffix("\r"))
    yield (name := name.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").rstrip(" \t\r"))  # of joined lists
    if len(name) > 1 and name[0] == name[-1] == '"':
        yield (name := name[1:-1])
    yield name.replace("\\", "/")
