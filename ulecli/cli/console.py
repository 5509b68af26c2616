"""Talking to the user: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(text: str) -> None:
    """Write a line for the person, on stderr."""
    print(text, file=sys.stderr)


def put(record: dict[str, Any]) -> None:
    """Write a record for a program, on stdout: one line of ASCII JSON, whatever bytes a name is made of."""
    print(json.dumps(record, ensure_ascii=True, allow_nan=False), flush=True)
