"""The two scales of pixel values, and the bound that users give in one of them.

Users, papers and files speak *levels* (0 to 255); nets and gradients speak the *unit* scale (0 to 1).
"""

from __future__ import annotations

from ulecli.errors import UsageError

LEVELS = 255
MAX_EPSILON = 32
"""Beyond this the change is plainly visible and no published method is measured there."""


def to_unit(levels: float) -> float:
    """Convert levels (0 to 255) to the unit scale (0 to 1)."""
    return levels / LEVELS


def check_epsilon(epsilon: int) -> int:
    """Return `epsilon` (levels) if it is a usable L-infinity bound.

    Raises:
        UsageError: epsilon is not within 1 to `MAX_EPSILON`.
    """
    if not 1 <= epsilon <= MAX_EPSILON:
        raise UsageError(f"--eps is {epsilon}, but must be 1 to {MAX_EPSILON} levels; the papers use 8")
    return epsilon
