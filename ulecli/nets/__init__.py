"""The nets by name. A new one is one file here and one line in `NETS`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import nn

from ulecli.errors import UsageError
from ulecli.nets.conv import conv
from ulecli.nets.dense import linear, mlp
from ulecli.nets.exploiter import small_conv

NETS: dict[str, Callable[..., nn.Sequential]] = {
    "conv": conv,
    "linear": linear,
    "mlp": mlp,
    "small-conv": small_conv,
}


def make_net(name: str, **settings: Any) -> nn.Sequential:
    """Build the net called `name` with freshly drawn weights.

    Every net takes unit-scale images (N, `channels`, H, W), normalises them itself and returns logits
    (N, `classes`). The weights come from torch's global generator: call inside `ulecli.seeding.seeded`.

    Args:
        name: A key of `NETS`.
        **settings: Of that net: `channels` and `classes`, and what its function documents.

    Raises:
        UsageError: there is no such net.
    """
    if name not in NETS:
        near = get_close_matches(name, NETS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no net {name!r}, only {', '.join(sorted(NETS))}{hint}")
    return NETS[name](**settings)
