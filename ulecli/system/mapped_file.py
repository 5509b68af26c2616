"""The bytes of a file, of which only those that are looked at are read."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from typing import BinaryIO

Content = mmap.mmap | bytes


@contextlib.contextmanager
def mapped(file: BinaryIO) -> Iterator[Content]:
    """Lend the content of a file, which may be longer than the memory; its position does not count.

    Some network disks can't map files; there it is read.

    Raises:
        OSError: It can't be read.
        ValueError: It is empty.
    """
    try:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        place = file.tell()
        file.seek(0)
        try:
            yield file.read()
        finally:
            file.seek(place)
        return
    with content:
        yield content
