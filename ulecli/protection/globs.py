"""Shell globs, compared as a person compares names: without regard to case or to the form of Unicode."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate


def alike(text: str) -> str:
    """Make names alike that a person holds to be one."""
    return unicodedata.normalize("NFC", text).casefold()


def matcher(glob: str) -> re.Pattern[str]:
    """Compile a glob; what it shall be matched with goes through `alike` before."""
    return re.compile(translate(alike(glob)))
