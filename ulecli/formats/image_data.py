"""The coded picture of a file without what lies beside it: what tools that write metadata leave as it is.

Programs that rate, tag, date or turn photos rewrite the file around the coded pixels and copy these byte for
byte, since coding them again would cost quality. So a hash of them recognises a photo whatever was done to
its metadata. Nothing is decoded, which makes it cheap, and safe in the process that holds the key: ranges of
bytes are found by their headers, checked against the length of the file, and hashed. A program that codes the
picture again makes another hash, rightly so: then the pixels are others, too.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from ulecli.formats.registry import FORMATS
from ulecli.system.mapped_file import mapped

_PIECE = 1 << 20


def image_data_sha256(path: Path, format: str) -> bytes | None:
    """Hash what the pixels of a file are decoded from.

    Args:
        path: The file.
        format: Pillow's name of it.

    Returns:
        The digest; None if the structure of the file can't be followed or its format is not known here.

    Raises:
        OSError: It can't be read.
    """
    if format not in FORMATS:
        return None
    digest = hashlib.sha256(format.encode("ascii"))
    count = 0
    try:
        with path.open("rb") as file, mapped(file) as data, memoryview(data) as view:
            for start, end in FORMATS[format].image_ranges(data):
                if not 0 <= start <= end <= len(data):
                    return None
                count += end - start
                for place in range(start, end, _PIECE):
                    with view[place : min(end, place + _PIECE)] as piece:  # not copied
                        digest.update(piece)
    except (ValueError, LookupError, struct.error):
        return None
    return digest.digest() if count else None
