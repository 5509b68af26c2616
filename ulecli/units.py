"""The two scales of pixel values, the weights of luma, and the bound on a change.

Users, papers and files speak *levels* (0 to 255); nets and gradients speak the *unit* scale (0 to 1).
"""

from __future__ import annotations

from ulecli.errors import UsageError, shown

LEVELS = 255
"""The level of white: pixels are whole levels from 0 to this."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luma of ITU-R BT.601, which Pillow and torchvision turn to gray with."""

DEFAULT_EPSILON = 8
"""The bound in levels that most papers on unlearnable examples use."""

MAX_EPSILON = 32
"""Beyond this the change is plainly visible and no published method is measured there."""


def to_unit(levels: float) -> float:
    """Convert levels (0 to 255) to the unit scale (0 to 1)."""
    return levels / LEVELS


def check_epsilon(epsilon: int) -> int:
    """Return `epsilon` (levels) if it is a usable L-infinity bound.

    Raises:
        UsageError: epsilon is no whole number from 1 to `MAX_EPSILON`.
    """
    if not isinstance(epsilon, int) or not 1 <= epsilon <= MAX_EPSILON:
        raise _no_epsilon(epsilon)
    return epsilon


def parse_epsilon(text: str) -> int:
    """Return the bound in levels that was typed after --eps: "8", or "8/255" as papers write it.

    Raises:
        UsageError: It is no whole number from 1 to `MAX_EPSILON`, alone or of 255.
    """
    number, slash, whole = (part.strip() for part in text.partition("/"))
    try:
        if slash and int(whole) != LEVELS:
            raise _no_epsilon(shown(text))
        return check_epsilon(int(number))
    except ValueError:  # a UsageError is one too
        raise _no_epsilon(shown(text)) from None


def _no_epsilon(given: object) -> UsageError:
    return UsageError(
        f"--eps is {given}, but must be a whole number of levels, 1 to {MAX_EPSILON}; the papers use "
        f"{DEFAULT_EPSILON}"
    )
