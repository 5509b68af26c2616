"""Options whose values have commas between them."""

from __future__ import annotations

from ulecli.errors import UsageError


def names(text: str) -> tuple[str, ...]:
    """Return the names in a list, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the numbers in a list.

    Args:
        text: What was given.
        option: By which it was given.

    Raises:
        UsageError: One of them is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"{option} {text!r}: write whole numbers with commas between, as in 0,1,2") from None
